package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func init() {
	caddy.RegisterModule(AdminAPI{})
}

const (
	adminPath       = "/" + appName + "/connections"
	adminGrantsPath = "/" + appName + "/grants"
	adminAliasPath  = "/api/oauth/config"
	adminPeoplePath = "/" + appName + "/people"
)

// AdminAPI lets an operator see and end what people approved and connected,
// and connect what everybody shares, on Caddy's admin endpoint:
//
//	GET    /mcp_oauth/connections                  all connections
//	GET    /mcp_oauth/connections/{id}/status      one of them; a shared one also by the id of its server
//	DELETE /mcp_oauth/connections/{id}             ends it, here and at the provider
//	GET    /api/oauth/config/{id}/status           the same under another name
//	DELETE /api/oauth/config/{id}                  the same under another name
//	POST   /mcp_oauth/connections/{server}/start   returns the URL on which an operator connects a server with `auth oauth`
//	GET    /mcp_oauth/registrations                what this site registered itself as at providers
//	DELETE /mcp_oauth/registrations/{server}       has the next person who connects the server get a new registration
//	GET    /mcp_oauth/grants                       grants that stand, by id: at most `limit` (1 to 1000, default 100) behind `after`; `next` is where to go on
//	GET    /mcp_oauth/grants?subject={subject}     all grants of a person, such as `virtual_key:alice`
//	DELETE /mcp_oauth/grants/{id}                  ends one, with all its tokens
//	DELETE /mcp_oauth/grants?subject={subject}     ends all grants of a person, at all sites of the configuration
//	GET    /mcp_oauth/health                       200 while sign-ins and calls can be answered, else 503 with the reason
//	DELETE /mcp_oauth/people?subject={subject}     ends all that a person has there: grants, browser sessions, what they began; with connections=true also their connections
//
// A status is `authorized`, `pending` (its person has not finished signing in,
// or the operator connecting what was started), `needs_reauth`, `expired` (it
// needs reauthorization only because it came without a way to renew it),
// `failed` (the provider refused what was started, or the answer to a renewal
// was lost) or `revoked` (for a day, while this process runs). Credentials are
// never shown.
type AdminAPI struct{}

// CaddyModule returns the Caddy module information.
func (AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.mcp_oauth", New: func() caddy.Module { return new(AdminAPI) }}
}

// Routes implements caddy.AdminRouter.
func (AdminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: adminPath, Handler: caddy.AdminHandlerFunc(listConnections)},
		{Pattern: adminPath + "/", Handler: caddy.AdminHandlerFunc(oneConnection)},
		{Pattern: adminRegistrationsPath, Handler: caddy.AdminHandlerFunc(listRegistrations)},
		{Pattern: adminRegistrationsPath + "/", Handler: caddy.AdminHandlerFunc(dropRegistration)},
		{Pattern: adminAliasPath + "/", Handler: caddy.AdminHandlerFunc(aliasOfConnection)},
		{Pattern: adminGrantsPath, Handler: caddy.AdminHandlerFunc(manyGrants)},
		{Pattern: adminGrantsPath + "/", Handler: caddy.AdminHandlerFunc(oneGrant)},
		{Pattern: adminHealthPath, Handler: caddy.AdminHandlerFunc(showHealth)},
		{Pattern: adminPeoplePath, Handler: caddy.AdminHandlerFunc(endPerson)},
	}
}

// adminConnection is a connection as operators see it.
type adminConnection struct {
	ID             string        `json:"id,omitempty"` // none before it is connected
	Site           string        `json:"site"`
	Server         string        `json:"server"`
	Owner          string        `json:"owner"`
	Mode           accounts.Mode `json:"mode,omitempty"`
	Status         string        `json:"status"`
	CreatedAt      time.Time     `json:"created_at"`
	UpdatedAt      time.Time     `json:"updated_at"`
	ExpiresAt      time.Time     `json:"expires_at,omitzero"`
	TokenID        string        `json:"token_id,omitempty"`
	TokenExpiresAt time.Time     `json:"token_expires_at,omitzero"`
	Scopes         []string      `json:"scopes,omitempty"`
}

func describeForAdmin(site string, o accounts.Overview) adminConnection {
	return adminConnection{
		ID: o.ID, Site: site, Server: o.Server, Owner: o.Owner, Mode: o.Mode, Status: adminStatus(o),
		CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, ExpiresAt: o.ExpiresAt,
		TokenID: o.TokenID, TokenExpiresAt: o.TokenExpiresAt, Scopes: o.Scopes,
	}
}

func adminStatus(o accounts.Overview) string {
	switch {
	case o.Expired:
		return "expired"
	case o.State == storage.Disconnected:
		return "revoked"
	case o.Failed || o.State == storage.InDoubt:
		return "failed"
	case o.Pending && (o.State == storage.Active || o.State == ""):
		return "pending"
	case o.State != storage.Active:
		return "needs_reauth"
	}
	return "authorized"
}

func listConnections(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return adminError(http.StatusMethodNotAllowed, "use GET")
	}
	list := []adminConnection{}
	for _, s := range activeSites() {
		all, err := s.broker.Overviews(r.Context())
		if err != nil {
			return adminFailure(err)
		}
		for _, o := range all {
			list = append(list, describeForAdmin(s.as.Config().Issuer, o))
		}
	}
	return writeAdminJSON(w, map[string]any{"connections": list})
}

// oneConnection serves what is about one connection.
func oneConnection(w http.ResponseWriter, r *http.Request) error {
	id, action, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, adminPath+"/"), "/")
	switch r.Method + " " + action {
	case "GET status":
		return showConnection(w, r, id)
	case "DELETE ":
		return endConnection(w, r, id)
	case "POST start":
		return startShared(w, r, id)
	}
	return adminError(http.StatusNotFound, "use GET …/connections, GET …/connections/{id}/status, DELETE …/connections/{id} or POST …/connections/{server}/start")
}

// aliasOfConnection serves what of that has another name, which other gateways
// gave it.
func aliasOfConnection(w http.ResponseWriter, r *http.Request) error {
	id, action, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, adminAliasPath+"/"), "/")
	switch r.Method + " " + action {
	case "GET status":
		return showConnection(w, r, id)
	case "DELETE ":
		return endConnection(w, r, id)
	}
	return adminError(http.StatusNotFound, "use GET …/config/{id}/status or DELETE …/config/{id}")
}

// showConnection shows a connection or, if there is none, what became of it.
func showConnection(w http.ResponseWriter, r *http.Request, id string) error {
	s, o, err := findConnection(func(s *site) (accounts.Overview, error) { return s.broker.Overview(r.Context(), id) })
	if errors.Is(err, accounts.ErrUnknownConnection) {
		s, o, err = findConnection(func(s *site) (accounts.Overview, error) { return s.broker.Recent(id) })
	}
	if err != nil {
		return adminFailure(err)
	}
	return writeAdminJSON(w, describeForAdmin(s.as.Config().Issuer, o))
}

// endConnection ends a connection or, if there is none, what was started.
func endConnection(w http.ResponseWriter, r *http.Request, id string) error {
	s, o, err := findConnection(func(s *site) (accounts.Overview, error) { return s.broker.Overview(r.Context(), id) })
	switch {
	case err == nil:
		err = s.broker.Disconnect(r.Context(), o.Owner, o.Server)
		o.State, o.Expired = storage.Disconnected, false
	case errors.Is(err, accounts.ErrUnknownConnection):
		s, o, err = findConnection(func(s *site) (accounts.Overview, error) { return s.broker.EndStarted(r.Context(), id) })
	}
	if err != nil {
		return adminFailure(err)
	}
	return writeAdminJSON(w, describeForAdmin(s.as.Config().Issuer, o))
}

// startShared returns the link on which an operator connects a server for
// everybody. Whoever has the link can, once, for as long as it is good. With
// servers of the same id on several sites, the query parameter site names the
// one.
func startShared(w http.ResponseWriter, r *http.Request, server string) error {
	var found []*site
	for _, s := range activeSites() {
		named := r.URL.Query().Get("site")
		upstream := s.broker.Server(server)
		if upstream != nil && upstream.Mode == accounts.OAuth && (named == "" || named == s.as.Config().Issuer) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return adminError(http.StatusNotFound, "no site has a server of this id with auth oauth")
	case 1:
		link, err := found[0].as.Links.SharedURL(r.Context(), server)
		if err != nil {
			return adminFailure(err)
		}
		found[0].broker.Started(server, time.Now().Add(authz.ConnectLinkLifetime))
		return writeAdminJSON(w, map[string]any{
			"site": found[0].as.Config().Issuer, "server": server, "status": "pending",
			"authorize_url": link,
		})
	}
	return adminError(http.StatusConflict, "several sites have a server of this id; name one with ?site=<public URL>")
}

// findConnection returns what find finds first, and the site it belongs to.
func findConnection(find func(*site) (accounts.Overview, error)) (*site, accounts.Overview, error) {
	for _, s := range activeSites() {
		if o, err := find(s); !errors.Is(err, accounts.ErrUnknownConnection) {
			return s, o, err
		}
	}
	return nil, accounts.Overview{}, accounts.ErrUnknownConnection
}

// activeSites returns the sites of the configuration that serves now which
// connect anything. It is asked for each request: a failed reload leaves the
// admin API of a configuration behind that never served.
func activeSites() []*site {
	if app := activeApp(); app != nil {
		return app.connectingSites()
	}
	return nil
}

func adminError(status int, text string) error {
	return caddy.APIError{HTTPStatus: status, Err: errors.New(text)}
}

func adminFailure(err error) error {
	if errors.Is(err, accounts.ErrUnknownConnection) {
		return adminError(http.StatusNotFound, "no such connection")
	}
	return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
}

func writeAdminJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(v)
}

var _ caddy.AdminRouter = AdminAPI{}
