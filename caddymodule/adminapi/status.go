package adminapi

import (
	"net/http"
	"runtime/debug"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/instances"
)

// StatusPath is where operators ask what runs.
const StatusPath = "/mcp_oauth/status"

// InstancesPath is where they see which Caddys work on the store.
const InstancesPath = "/mcp_oauth/instances"

var statusRoutes = []route{{
	method: http.MethodGet, path: InstancesPath,
	about: "The Caddys that work on the same database, and in what they differ from the one that answers: its configuration, encryption keys, version and clock. " +
		"Of configurations it is told which options differ, and never their values.",
	answer: instances.Overview{}, fails: []int{http.StatusNotFound}, serve: listInstances,
}, {
	method: http.MethodGet, path: StatusPath,
	about: "What runs: the sites of the configuration that serves now, their servers, how people sign in, and where all is kept. " +
		"It answers also while the store is not open.",
	answer: Status{}, fails: []int{http.StatusNotFound}, serve: showStatus,
}}

// Status is what runs.
type Status struct {
	Version string `json:"version,omitempty"` // of this plugin, if it was built with one
	Caddy   string `json:"caddy"`             // the version of Caddy
	Store   string `json:"store"`             // where all is kept: the engine, and what tells it from others
	// Failure is why sign-ins and calls are answered 503.
	Failure string       `json:"failure,omitempty"`
	Sites   []SiteStatus `json:"sites"`
	// Differences are those between the Caddys on the same database and the one that
	// answers; none where there can be only one.
	Differences []instances.Difference `json:"differences,omitempty"`
}

// SiteStatus is a site of the running configuration.
type SiteStatus struct {
	URL     string         `json:"url"`     // its public URL
	SignIn  []string       `json:"sign_in"` // the ways, in the order in which people see them
	Servers []ServerStatus `json:"servers"`
}

// ServerStatus is an MCP server behind a site.
type ServerStatus struct {
	ID  string `json:"id"`
	URL string `json:"url"` // where clients reach it
	// Auth is `none`, or how accounts at it are connected.
	Auth string `json:"auth"`
}

func listInstances(c *call) (any, error) {
	operator, err := c.opened()
	if err != nil {
		return nil, err
	}
	return operator.Instances.Overview(), nil
}

func showStatus(c *call) (any, error) {
	operator := c.Active(true)
	if operator == nil {
		return nil, errNoSite
	}
	version, _ := caddy.Version()
	status := Status{Version: OwnVersion(), Caddy: version, Store: operator.StoreName, Sites: []SiteStatus{}}
	if operator.Failure != nil {
		status.Failure = operator.Failure.Error()
	}
	status.Differences = operator.Instances.Overview().Different
	for _, s := range operator.Sites {
		cfg := s.Server.Config()
		site := SiteStatus{URL: s.Issuer, SignIn: []string{}, Servers: []ServerStatus{}}
		for _, i := range cfg.Identities {
			site.SignIn = append(site.SignIn, string(i.Kind))
		}
		for _, server := range cfg.Servers {
			auth := "none"
			if server.Auth != nil {
				auth = string(server.Auth.Mode)
			}
			site.Servers = append(site.Servers, ServerStatus{ID: server.ID, URL: server.Resource, Auth: auth})
		}
		status.Sites = append(status.Sites, site)
	}
	return status, nil
}

// OwnVersion is the version of this module that the program was built with.
func OwnVersion() string {
	const module = "github.com/mcpoauth/caddy-mcp-oauth"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	if info.Main.Path == module {
		return info.Main.Version
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return ""
}

// HealthPath is where operators and their tools ask whether sign-ins and calls
// can be answered.
const HealthPath = "/mcp_oauth/health"

var healthRoutes = []route{{
	method: http.MethodGet, path: HealthPath,
	about:  "200 while sign-ins and calls can be answered, else 503 with the reason.",
	answer: Health{},
	serve:  health,
}}

// Health is the answer of a healthy server.
type Health struct {
	Status string `json:"status"` // `ok`
	// Differences are those between the Caddys on the same database that last, in
	// words, with what to do.
	Differences []string `json:"differences,omitempty"`
}

// health answers 200, or 503 with the reason while the sites answer 503 too.
func health(c *call) (any, error) {
	if err := c.Ready(); err != nil {
		return nil, apiError(http.StatusServiceUnavailable, err.Error())
	}
	h := Health{Status: "ok"}
	if operator := c.Active(true); operator != nil {
		for _, d := range operator.Instances.Overview().Different {
			if d.Lasts(time.Now()) {
				h.Differences = append(h.Differences, d.Text+". "+d.Fix)
			}
		}
	}
	return h, nil
}
