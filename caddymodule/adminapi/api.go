package adminapi

import (
	_ "embed"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/metrics"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// API lets operators and their programs see and end, on Caddy's admin endpoint,
// what people approved and connected, and make virtual keys. `GET
// /mcp_oauth/openapi.json` describes all of it, as docs/admin-api.md does for
// people, and `caddy mcp-oauth` is a command line for it.
//
// What is sent is JSON; `site` says which site is meant where several could be.
// What a route does not know is an error. Credentials are never shown, but for a
// virtual key once, when it is made.
type API struct {
	// Active returns the operator of the configuration that serves now, or nil if
	// there is none. With open, the store is opened before, unless it is open. It is
	// asked for each request: a failed reload leaves the admin API of a configuration
	// behind that never served.
	Active func(open bool) *Operator `json:"-"`
	// Metrics are those of the process.
	Metrics *metrics.Metrics `json:"-"`
	// Ready returns why sign-ins and calls cannot be answered, or nil.
	Ready func() error `json:"-"`
}

// CaddyModule returns the Caddy module information.
func (a API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.mcp_oauth", New: func() caddy.Module { api := a; return &api }}
}

// Provision implements caddy.Provisioner.
func (a API) Provision(ctx caddy.Context) error { return a.Metrics.Register(ctx) }

// Routes implements caddy.AdminRouter.
func (a API) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/mcp_oauth/", Handler: caddy.AdminHandlerFunc(a.serve)},
		{Pattern: aliasPath + "/", Handler: caddy.AdminHandlerFunc(a.serve)},
	}
}

// serve answers a request by the table of routes.
func (a API) serve(w http.ResponseWriter, r *http.Request) error {
	route, named, err := find(r)
	if err != nil {
		return err
	}
	query, err := route.queryOf(r.URL.RawQuery)
	if err != nil {
		return err
	}
	r = r.WithContext(event.WithRequest(r, hostOf(r.RemoteAddr)))
	event.Learn(r.Context(), event.Event{By: event.ByOperator})
	answer, err := route.serve(&call{API: a, Request: r, named: named, query: query})
	if err != nil {
		return err
	}
	a.acted(r, route, query)
	if file, isFile := answer.(File); isFile {
		return file.send(w)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if route.status != 0 {
		w.WriteHeader(route.status)
	}
	return json.NewEncoder(w).Encode(answer)
}

// acted records what an operator did, but not what they looked at, unless that is all
// there is.
func (a API) acted(r *http.Request, route *route, query url.Values) {
	operator := a.Active(false)
	if route.method == http.MethodGet && route.path != BackupPath || operator == nil {
		return
	}
	operator.Events.Record(r.Context(), event.Event{
		Kind: event.OperatorActed, Person: query.Get("subject"), Reason: route.method + " " + route.path, Detail: r.URL.Path,
	})
}

// hostOf returns the address of who asks; empty for a unix socket.
func hostOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return ""
	}
	return host
}

// opened returns the operator once the store is open. Its errors are for the
// operator.
func (a API) opened() (*Operator, error) {
	operator := a.Active(true)
	if operator == nil {
		return nil, errNoSite
	}
	if operator.Failure != nil {
		return nil, failure(operator.Failure)
	}
	return operator, nil
}

// at returns the operator, once the store is open, and the site with the public URL,
// or all.
func (a API) at(issuer string) (*Operator, []*Site, error) {
	operator, err := a.opened()
	if err != nil {
		return nil, nil, err
	}
	if issuer == "" {
		return operator, operator.Sites, nil
	}
	i := slices.IndexFunc(operator.Sites, func(s *Site) bool { return s.Issuer == issuer })
	if i < 0 {
		return nil, nil, apiError(http.StatusNotFound, "there is no site "+strconv.Quote(issuer)+"; use the public URL of one of: "+strings.Join(issuersOf(operator.Sites), ", "))
	}
	return operator, operator.Sites[i : i+1], nil
}

// connectingAt is at for the sites that connect anything.
func (a API) connectingAt(issuer string) (*Operator, []*Site, error) {
	operator, sites, err := a.at(issuer)
	return operator, slices.DeleteFunc(slices.Clone(sites), func(s *Site) bool { return s.Accounts == nil }), err
}

func issuersOf(sites []*Site) []string {
	issuers := make([]string, len(sites))
	for i, s := range sites {
		issuers[i] = s.Issuer
	}
	return issuers
}

var errNoSite = apiError(http.StatusNotFound, "no site of the running configuration has mcp_oauth")

func apiError(status int, text string) error {
	return caddy.APIError{HTTPStatus: status, Err: errors.New(text)}
}

func failure(err error) error {
	if errors.Is(err, storage.ErrPlace) {
		return apiError(http.StatusBadRequest, "after is not the `next` of an answer of this list")
	}
	if errors.Is(err, accounts.ErrUnknownConnection) {
		return apiError(http.StatusNotFound, "there is no connection of this id, nor a server of this id that everybody shares a connection to")
	}
	var said caddy.APIError
	if errors.As(err, &said) {
		return said
	}
	return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
}

// DocumentPath is where this API is described.
const DocumentPath = "/mcp_oauth/openapi.json"

var documentRoutes = []route{{
	method: http.MethodGet, path: DocumentPath,
	about:  "This API as an OpenAPI 3.1 document.",
	answer: json.RawMessage{}, serve: showDocument,
}}

func showDocument(*call) (any, error) { return json.RawMessage(document), nil }

// document is made from the routes and the comments of what they answer:
//
//	go test ./caddymodule/adminapi -update
//
//go:embed openapi.json
var document []byte

var (
	_ caddy.AdminRouter = API{}
	_ caddy.Provisioner = API{}
)
