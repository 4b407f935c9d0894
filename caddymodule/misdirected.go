package caddymodule

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// Caddy answers a request for a host it does not serve with an empty 200. A
// client that was led here under another name, by a typo or by DNS rebinding,
// would take that for a success. On the paths of the handler such a request
// gets 421 (RFC 9110 section 15.5.20).

var errMisdirected = errors.New("mcp_oauth: the request is for a host that is not the site's")

// servesHost reports whether a Host header names the site. The port is left
// out, as in Caddy's own matchers: it may be mapped on the way.
func (h *Handler) servesHost(host string) bool {
	host = hostname(host)
	return host == h.host || strings.EqualFold(host, h.host)
}

// hostname returns the host of a Host header, without brackets.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return host
}

// refuseHost answers a request for a host that is not the site's. Error routes
// of the operator, if there are any, say it in their words.
func (h *Handler) refuseHost(w http.ResponseWriter, r *http.Request) error {
	keepOutOfAccessLog(r)
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if ok && server.Errors != nil {
		return caddyhttp.Error(http.StatusMisdirectedRequest, errMisdirected)
	}
	id := oauth.NewCorrelationID()
	h.log.Debug("a request for another host was refused", zap.String("correlation_id", id), zap.String("host", r.Host))
	refused := oauth.Error{
		Status: http.StatusMisdirectedRequest, Code: "misdirected_request", Description: "This site is " + h.cfg.Issuer +
			". Check the URL you use, the option public_url, and what a proxy in front sends as Host.",
	}
	refused.Answer(w, id)
	return nil
}

// refuseForeignHosts adds a matcher behind all sites of the server: where no
// site matched, it answers for the paths of the handler. It hangs on the last
// route, as one more alternative: Caddy asks it only after every other route
// and matcher declined. A new route cannot be added at this time, because Caddy
// is walking the list. If the last route matches everything, some site serves
// every host, and there is nothing to answer.
func (h *Handler) refuseForeignHosts(ctx caddy.Context) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || len(server.Routes) == 0 {
		return
	}
	last := &server.Routes[len(server.Routes)-1]
	if len(last.MatcherSets) == 0 {
		return
	}
	last.MatcherSets = append(last.MatcherSets, caddyhttp.MatcherSet{misdirected{h}})
}

// misdirected matches nothing, but fails for the paths of a handler.
type misdirected struct{ handler *Handler }

// MatchWithError implements caddyhttp.RequestMatcherWithError.
func (m misdirected) MatchWithError(r *http.Request) (bool, error) {
	if m.handler.servesHost(r.Host) || !m.handler.owned.Contains(r.URL.Path) {
		return false, nil
	}
	keepOutOfAccessLog(r)
	return false, caddyhttp.Error(http.StatusMisdirectedRequest, errMisdirected)
}

// keepOutOfAccessLog keeps a request for another host out of the access log if
// its URL may have secrets, such as an answer of a provider that was sent to the
// wrong name: the log of that host is not the site's, and filters nothing.
func keepOutOfAccessLog(r *http.Request) {
	if r.URL.RawQuery != "" || strings.HasPrefix(r.URL.Path, authz.ConnectPath) || r.Header.Get("Referer") != "" {
		caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
	}
}

var _ caddyhttp.RequestMatcherWithError = misdirected{}
