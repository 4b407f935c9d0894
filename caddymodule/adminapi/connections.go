package adminapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	connectionsPath = "/mcp_oauth/connections"
	// aliasPath is another name for connections, which other gateways gave them.
	aliasPath = "/api/oauth/config"
)

var connectionRoutes = []route{{
	method: http.MethodGet, path: connectionsPath,
	about:  "All connections: accounts of people, and shared ones, at the servers behind the sites.",
	answer: Connections{}, serve: listConnections,
}, {
	method: http.MethodGet, path: connectionsPath + "/{id}/status",
	about: "One of them; a shared one also by the id of its server. Only this route knows what was started, refused or " +
		"ended, and only until Caddy ends.",
	answer: Connection{}, fails: []int{http.StatusNotFound}, serve: showConnection,
}, {
	method: http.MethodDelete, path: connectionsPath + "/{id}",
	about:  "Ends it, here and at the provider. What was only started is ended for those under way.",
	answer: Connection{}, fails: []int{http.StatusNotFound}, serve: endConnection,
}, {
	method: http.MethodPost, path: connectionsPath + "/{server}/start",
	about: "Returns the link on which an operator connects a server with `auth oauth` for everybody: good once, for 15 " +
		"minutes. Whoever has it can use it.",
	query:  []parameter{siteParameter},
	answer: StartedConnection{}, fails: []int{http.StatusNotFound, http.StatusConflict}, serve: startShared,
}, {
	method: http.MethodGet, path: aliasPath + "/{id}/status",
	about:  "The status of a connection, under the name that other gateways have for it.",
	answer: Connection{}, fails: []int{http.StatusNotFound}, serve: showConnection,
}, {
	method: http.MethodDelete, path: aliasPath + "/{id}",
	about:  "Ends a connection, under the name that other gateways have for it.",
	answer: Connection{}, fails: []int{http.StatusNotFound}, serve: endConnection,
}}

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

// Connections are all of them.
type Connections struct {
	Connections []Connection `json:"connections"`
}

// StartedConnection is a shared connection that an operator began.
type StartedConnection struct {
	Site   string `json:"site"`
	Server string `json:"server"`
	Status string `json:"status"` // `pending`
	// AuthorizeURL is to be opened in a browser.
	AuthorizeURL string `json:"authorize_url"`
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

func listConnections(c *call) (any, error) {
	list := Connections{[]Connection{}}
	for _, s := range c.connecting() {
		all, err := s.Accounts.Overviews(c.Context())
		if err != nil {
			return nil, failure(err)
		}
		for _, o := range all {
			list.Connections = append(list.Connections, describe(s.Issuer, o))
		}
	}
	return list, nil
}

// showConnection shows a connection or, if there is none, what became of it.
func showConnection(c *call) (any, error) {
	id := c.named["id"]
	s, o, err := findConnection(c, func(s *Site) (accounts.Overview, error) { return s.Accounts.Overview(c.Context(), id) })
	if errors.Is(err, accounts.ErrUnknownConnection) {
		s, o, err = findConnection(c, func(s *Site) (accounts.Overview, error) { return s.Accounts.Recent(id) })
	}
	if err != nil {
		return nil, failure(err)
	}
	return describe(s.Issuer, o), nil
}

// endConnection ends a connection or, if there is none, what was started.
func endConnection(c *call) (any, error) {
	id := c.named["id"]
	s, o, err := findConnection(c, func(s *Site) (accounts.Overview, error) { return s.Accounts.Overview(c.Context(), id) })
	switch {
	case err == nil:
		err = s.Accounts.Disconnect(c.Context(), o.Owner, o.Server)
		o.State, o.Expired = storage.Disconnected, false
	case errors.Is(err, accounts.ErrUnknownConnection):
		s, o, err = findConnection(c, func(s *Site) (accounts.Overview, error) { return s.Accounts.EndStarted(c.Context(), id) })
	}
	if err != nil {
		return nil, failure(err)
	}
	return describe(s.Issuer, o), nil
}

// startShared returns the link on which an operator connects a server for
// everybody. Whoever has the link can, once, for as long as it is good.
func startShared(c *call) (any, error) {
	var found []*Site
	id, named := c.named["server"], c.query.Get("site")
	for _, s := range c.connecting() {
		upstream := s.Server.Config().Server(id)
		if upstream != nil && upstream.Auth != nil && upstream.Auth.Mode == config.OAuth && (named == "" || named == s.Issuer) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return nil, apiError(http.StatusNotFound, "no site has a server of this id with auth oauth")
	case 1:
		link, err := found[0].Server.Links.SharedURL(c.Context(), id)
		if err != nil {
			return nil, failure(err)
		}
		found[0].Accounts.Started(id, time.Now().Add(server.ConnectLinkLifetime))
		return StartedConnection{Site: found[0].Issuer, Server: id, Status: "pending", AuthorizeURL: link}, nil
	}
	return nil, apiError(http.StatusConflict, "several sites have a server of this id; name one with ?site=<public URL>")
}

// findConnection returns what find finds first, and the site it belongs to.
func findConnection(c *call, find func(*Site) (accounts.Overview, error)) (*Site, accounts.Overview, error) {
	for _, s := range c.connecting() {
		if o, err := find(s); !errors.Is(err, accounts.ErrUnknownConnection) {
			return s, o, err
		}
	}
	return nil, accounts.Overview{}, accounts.ErrUnknownConnection
}
