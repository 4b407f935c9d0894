package adminapi

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Connection is a connection as operators see it.
type Connection struct {
	ID             string      `json:"id,omitempty"` // none before it is connected
	Site           string      `json:"site"`
	Server         string      `json:"server"`
	Owner          string      `json:"owner"`
	Account        string      `json:"account,omitempty"`
	Mode           config.Mode `json:"mode,omitempty"`
	Status         string      `json:"status"`
	CreatedAt      time.Time   `json:"created_at"`
	UpdatedAt      time.Time   `json:"updated_at"`
	ExpiresAt      time.Time   `json:"expires_at,omitzero"`
	TokenID        string      `json:"token_id,omitempty"`
	TokenExpiresAt time.Time   `json:"token_expires_at,omitzero"`
	Scopes         []string    `json:"scopes,omitempty"`
}

func describe(site string, o accounts.Overview) Connection {
	return Connection{
		ID: o.ID, Site: site, Server: o.Server, Owner: o.Owner, Account: o.Account, Mode: o.Mode, Status: statusOf(o),
		CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, ExpiresAt: o.ExpiresAt,
		TokenID: o.TokenID, TokenExpiresAt: o.TokenExpiresAt, Scopes: o.Scopes,
	}
}

func statusOf(o accounts.Overview) string {
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

func (a API) listConnections(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return apiError(http.StatusMethodNotAllowed, "use GET")
	}
	list := []Connection{}
	for _, s := range a.connecting() {
		all, err := s.Accounts.Overviews(r.Context())
		if err != nil {
			return failure(err)
		}
		for _, o := range all {
			list = append(list, describe(s.Issuer, o))
		}
	}
	return writeJSON(w, map[string]any{"connections": list})
}

// oneConnection serves what is about one connection.
func (a API) oneConnection(w http.ResponseWriter, r *http.Request) error {
	id, action, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, connectionsPath+"/"), "/")
	switch r.Method + " " + action {
	case "GET status":
		return a.showConnection(w, r, id)
	case "DELETE ":
		return a.endConnection(w, r, id)
	case "POST start":
		return a.startShared(w, r, id)
	}
	return apiError(http.StatusNotFound, "use GET …/connections, GET …/connections/{id}/status, DELETE …/connections/{id} or POST …/connections/{server}/start")
}

// aliasOfConnection serves what of that has another name, which other gateways
// gave it.
func (a API) aliasOfConnection(w http.ResponseWriter, r *http.Request) error {
	id, action, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, aliasPath+"/"), "/")
	switch r.Method + " " + action {
	case "GET status":
		return a.showConnection(w, r, id)
	case "DELETE ":
		return a.endConnection(w, r, id)
	}
	return apiError(http.StatusNotFound, "use GET …/config/{id}/status or DELETE …/config/{id}")
}

// showConnection shows a connection or, if there is none, what became of it.
func (a API) showConnection(w http.ResponseWriter, r *http.Request, id string) error {
	s, o, err := a.findConnection(func(s *Site) (accounts.Overview, error) { return s.Accounts.Overview(r.Context(), id) })
	if errors.Is(err, accounts.ErrUnknownConnection) {
		s, o, err = a.findConnection(func(s *Site) (accounts.Overview, error) { return s.Accounts.Recent(id) })
	}
	if err != nil {
		return failure(err)
	}
	return writeJSON(w, describe(s.Issuer, o))
}

// endConnection ends a connection or, if there is none, what was started.
func (a API) endConnection(w http.ResponseWriter, r *http.Request, id string) error {
	s, o, err := a.findConnection(func(s *Site) (accounts.Overview, error) { return s.Accounts.Overview(r.Context(), id) })
	switch {
	case err == nil:
		err = s.Accounts.Disconnect(r.Context(), o.Owner, o.Server)
		o.State, o.Expired = storage.Disconnected, false
	case errors.Is(err, accounts.ErrUnknownConnection):
		s, o, err = a.findConnection(func(s *Site) (accounts.Overview, error) { return s.Accounts.EndStarted(r.Context(), id) })
	}
	if err != nil {
		return failure(err)
	}
	return writeJSON(w, describe(s.Issuer, o))
}

// startShared returns the link on which an operator connects a server for
// everybody. Whoever has the link can, once, for as long as it is good. With
// servers of the same id on several sites, the query parameter site names the
// one.
func (a API) startShared(w http.ResponseWriter, r *http.Request, id string) error {
	var found []*Site
	for _, s := range a.connecting() {
		named := r.URL.Query().Get("site")
		upstream := s.Server.Config().Server(id)
		if upstream != nil && upstream.Auth != nil && upstream.Auth.Mode == config.OAuth && (named == "" || named == s.Issuer) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return apiError(http.StatusNotFound, "no site has a server of this id with auth oauth")
	case 1:
		link, err := found[0].Server.Links.SharedURL(r.Context(), id)
		if err != nil {
			return failure(err)
		}
		found[0].Accounts.Started(id, time.Now().Add(server.ConnectLinkLifetime))
		return writeJSON(w, map[string]any{
			"site": found[0].Issuer, "server": id, "status": "pending",
			"authorize_url": link,
		})
	}
	return apiError(http.StatusConflict, "several sites have a server of this id; name one with ?site=<public URL>")
}

// findConnection returns what find finds first, and the site it belongs to.
func (a API) findConnection(find func(*Site) (accounts.Overview, error)) (*Site, accounts.Overview, error) {
	for _, s := range a.connecting() {
		if o, err := find(s); !errors.Is(err, accounts.ErrUnknownConnection) {
			return s, o, err
		}
	}
	return nil, accounts.Overview{}, accounts.ErrUnknownConnection
}
