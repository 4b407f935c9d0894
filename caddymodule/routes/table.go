package routes

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
)

// Endpoint is what answers at a path: a page or OAuth endpoint, or an MCP server.
type Endpoint struct {
	Handler http.Handler
	Server  *gateway.Server
}

// Table has the endpoints of one site. It does not change once it serves.
type Table struct {
	exact    map[string]Endpoint
	accounts []*accounts
	prefixes []server.Route
}

// NewTable returns a table with the routes.
func NewTable(routes []server.Route) *Table {
	t := &Table{exact: map[string]Endpoint{}}
	for _, route := range routes {
		if strings.HasSuffix(route.Path, "/") {
			t.prefixes = append(t.prefixes, route)
			continue
		}
		t.Add(route.Path, route.Handler)
	}
	return t
}

// Add adds an endpoint at exactly the path.
func (t *Table) Add(path string, h http.Handler) { t.exact[path] = Endpoint{Handler: h} }

// Alias has the endpoint of one path answer at another, too.
func (t *Table) Alias(path, of string) { t.exact[path] = t.exact[of] }

// AddServer adds an MCP server at its paths. Where people can have several accounts
// there, forAccount makes what answers at the path of one.
func (t *Table) AddServer(s *gateway.Server, forAccount ForAccount) {
	for _, path := range s.Paths() {
		t.exact[path] = Endpoint{Server: s}
	}
	if s.HasAccounts() {
		t.accounts = append(t.accounts, &accounts{of: s, prefix: s.Path + "/", forAccount: forAccount, kept: map[string]*gateway.Server{}})
	}
}

// Find returns what answers at a path.
func (t *Table) Find(path string) (Endpoint, bool) {
	if e, ok := t.exact[path]; ok {
		return e, true
	}
	for _, a := range t.accounts {
		if below, ok := strings.CutPrefix(path, a.prefix); ok {
			if s := a.find(strings.TrimSuffix(below, "/")); s != nil {
				return Endpoint{Server: s}, true
			}
		}
	}
	for _, route := range t.prefixes {
		if strings.HasPrefix(path, route.Path) {
			return Endpoint{Handler: route.Handler}, true
		}
	}
	return Endpoint{}, false
}

// Paths returns the paths at which something answers, in no order. What answers at
// all that begin with one ends in a slash; of accounts there is none.
func (t *Table) Paths() []string {
	paths := slices.Collect(maps.Keys(t.exact))
	for _, route := range t.prefixes {
		paths = append(paths, route.Path)
	}
	return paths
}
