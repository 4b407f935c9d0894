package adminapi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	ConnectionsPath = "/mcp_oauth/connections"
	// aliasPath is another name for connections, which other gateways gave them.
	aliasPath = "/api/oauth/config"
)

var connectionRoutes = []route{{
	method: http.MethodGet, path: ConnectionsPath,
	about: "Connections: accounts of people, and shared ones, at the servers behind the sites.",
	query: []parameter{siteParameter, subjectParameter, serverParameter, {
		name: "status", kind: choiceKind, about: "How well it works.",
		choices: []string{"authorized", "pending", "needs_reauth", "expired", "failed"},
	}, limitParameter, afterParameter},
	answer: Connections{}, fails: []int{http.StatusNotFound}, serve: listConnections,
}, {
	method: http.MethodGet, path: ConnectionsPath + "/{id}/status",
	about: "One of them; a shared one also by the id of its server. Only this route knows what was started, refused or " +
		"ended, and only until Caddy ends.",
	answer: Connection{}, fails: []int{http.StatusNotFound}, serve: showConnection,
}, {
	method: http.MethodDelete, path: ConnectionsPath + "/{id}",
	about:  "Ends it, here and at the provider. What was only started is ended for those under way.",
	answer: Connection{}, fails: []int{http.StatusNotFound}, serve: endConnection,
}, {
	method: http.MethodPost, path: ConnectionsPath + "/{server}/start",
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

// Connection is an account at a server behind a site, whose credentials the site
// keeps.
type Connection struct {
	ID     string `json:"id,omitempty"` // none before it is connected
	Site   string `json:"site"`         // its public URL
	Server string `json:"server"`       // the id of the server
	// AccountName is that of the account, of the several that its owner can have there;
	// none for the one at the path of the server.
	AccountName string `json:"account_name,omitempty"`
	// Owner is whose it is: a subject, `shared:` for everybody, or `flow:` and an id
	// while its person has not finished signing in.
	Owner   string      `json:"owner"`
	Account string      `json:"account,omitempty"` // what the account is called, if the provider says
	Mode    config.Mode `json:"mode,omitempty"`
	// Status is `authorized`; `pending`, while its person has not finished signing in
	// or the operator connecting; `needs_reauth`; `expired`, which needs it only
	// because it came without a way to renew it; `failed`, if the provider refused
	// what was started or the answer to a renewal was lost; or `revoked`.
	Status         string    `json:"status"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
	ExpiresAt      time.Time `json:"expires_at,omitzero"` // when one that is `pending` is forgotten
	TokenID        string    `json:"token_id,omitempty"`  // names the credentials, and changes with them
	TokenExpiresAt time.Time `json:"token_expires_at,omitzero"`
	Scopes         []string  `json:"scopes,omitempty"`
}

// Connections are a page of connections.
type Connections struct {
	Connections []Connection `json:"connections"`
	Next        string       `json:"next,omitempty"` // the `after` to go on with; none after the last
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
	server, account := config.SplitID(o.Server)
	return Connection{
		ID: o.ID, Site: site, Server: server, AccountName: account, Owner: o.Owner, Account: o.Account, Mode: o.Mode, Status: statusOf(o),
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
	subject, server, status := c.query.Get("subject"), c.query.Get("server"), c.query.Get("status")
	if err := c.checkSubject(subject); err != nil {
		return nil, err
	}
	_, sites, err := c.connectingAt(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	var list Connections
	list.Connections, list.Next, err = page(c, sites, func(s *Site, after string, limit int) ([]Connection, string, error) {
		if subject == "" {
			found, next, err := s.Accounts.Overviews(c.Context(), after, limit)
			return describeAll(s, found), next, err
		}
		found, err := s.Accounts.OverviewsOf(c.Context(), subject)
		if err != nil {
			return nil, "", err
		}
		return part(describeAll(s, found), after, limit)
	}, func(one *Connection) bool {
		return (server == "" || one.Server == server) && (status == "" || one.Status == status)
	})
	if err == nil {
		err = c.checkServer(sites, len(list.Connections))
	}
	return list, err
}

func describeAll(s *Site, found []accounts.Overview) []Connection {
	all := make([]Connection, len(found))
	for i, o := range found {
		all[i] = describe(s.Issuer, o)
	}
	return all
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
	id := c.named["server"]
	_, sites, err := c.connectingAt(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	for _, s := range sites {
		upstream := s.Server.Config().Server(id)
		if upstream != nil && upstream.Auth != nil && upstream.Auth.Mode == config.OAuth {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return nil, apiError(http.StatusNotFound, "no site has a server "+strconv.Quote(id)+" with auth oauth: the others are connected by each person")
	case 1:
		link, err := found[0].Server.Links.SharedURL(c.Context(), id)
		if err != nil {
			return nil, failure(err)
		}
		found[0].Accounts.Started(id, time.Now().Add(server.ConnectLinkLifetime))
		return StartedConnection{Site: found[0].Issuer, Server: id, Status: "pending", AuthorizeURL: link}, nil
	}
	return nil, apiError(http.StatusConflict, "several sites have a server of this id; name one with site, of: "+strings.Join(issuersOf(found), ", "))
}

// findConnection returns what find finds first, and the site it belongs to.
func findConnection(c *call, find func(*Site) (accounts.Overview, error)) (*Site, accounts.Overview, error) {
	_, sites, err := c.connectingAt("")
	if err != nil {
		return nil, accounts.Overview{}, err
	}
	for _, s := range sites {
		if o, err := find(s); !errors.Is(err, accounts.ErrUnknownConnection) {
			return s, o, err
		}
	}
	return nil, accounts.Overview{}, accounts.ErrUnknownConnection
}
