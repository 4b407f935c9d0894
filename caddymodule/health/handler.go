package health

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Name is that of the directive and of the handler.
const Name = "mcp_oauth_health"

// Handler answers probes of containers and load balancers. Requests for other paths
// go to the next handler.
//
// It is for a site where probes come, such as one on a port of its own:
//
//	:9180 {
//	    metrics /metrics
//	    mcp_oauth_health
//	}
//
// The answer is 200, or 503 while the process is not ready: while its store cannot be
// used, and while it stops. It is alive as long as it answers at all, whatever the
// store does: a restart would help nobody.
type Handler struct {
	// Ready is the path at which load balancers ask whether sign-ins and calls can be
	// answered. Default: `/readyz`.
	Ready string `json:"ready,omitempty"`
	// Live is the path at which containers ask whether the process has to be
	// restarted. Default: `/livez`.
	Live string `json:"live,omitempty"`

	readiness func() error
}

const (
	defaultReady = "/readyz"
	defaultLive  = "/livez"
)

// Register makes the handler and its directive known to Caddy. readiness returns why
// sign-ins and calls cannot be answered, or nil. It is asked for each probe: requests
// outlive a configuration.
func Register(readiness func() error) {
	caddy.RegisterModule(Handler{readiness: readiness})
	httpcaddyfile.RegisterHandlerDirective(Name, func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		handler := &Handler{readiness: readiness}
		return handler, handler.UnmarshalCaddyfile(h.Dispenser)
	})
	// Before mcp_oauth, which is after encode.
	httpcaddyfile.RegisterDirectiveOrder(Name, httpcaddyfile.Before, "encode")
}

// CaddyModule returns the Caddy module information.
func (h Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers." + Name, New: func() caddy.Module { return &Handler{readiness: h.readiness} }}
}

// UnmarshalCaddyfile reads the directive:
//
//	mcp_oauth_health [<matcher>] {
//	    ready <path>
//	    live <path>
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		option := d.Val()
		to := map[string]*string{"ready": &h.Ready, "live": &h.Live}[option]
		switch {
		case to == nil:
			return d.Errf("unknown option %q of %s; use ready or live", option, Name)
		case *to != "":
			return d.Errf("%s is there twice; remove one", option)
		case !d.AllArgs(to):
			return d.Errf("%s needs a path such as %s", option, defaultReady)
		}
	}
	return h.Validate()
}

// Provision implements caddy.Provisioner.
func (h *Handler) Provision(caddy.Context) error {
	if h.Ready == "" {
		h.Ready = defaultReady
	}
	if h.Live == "" {
		h.Live = defaultLive
	}
	return nil
}

// Validate implements caddy.Validator.
func (h *Handler) Validate() error {
	for _, option := range []struct{ name, path string }{{"ready", h.Ready}, {"live", h.Live}} {
		if option.path != "" && !strings.HasPrefix(option.path, "/") {
			return fmt.Errorf("%s: %s %q is no path; write one such as %s", Name, option.name, option.path, defaultReady)
		}
	}
	if h.Ready != "" && h.Ready == h.Live {
		return fmt.Errorf("%s: ready and live have the same path %s; a container would be restarted for what a restart does not mend", Name, h.Ready)
	}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	var failure error
	switch r.URL.Path {
	case h.Live:
	case h.Ready:
		failure = h.readiness()
	default:
		return next.ServeHTTP(w, r)
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return nil
	}
	status, text := http.StatusOK, "ok\n"
	if failure != nil {
		status, text = http.StatusServiceUnavailable, "not ready\n"
		header.Set("Retry-After", "5")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the prober may have hung up
	return nil
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
