package adminapi

import (
	"errors"
	"net/http"
	"slices"
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
	about: "Returns the link on which an operator connects a server with `auth oauth` for everybody, or one with " +
		"`auth per_user_oauth` or `auth per_user_headers` for a program: good once, for 15 minutes. Whoever has it can use it.",
	query: []parameter{siteParameter, {
		name: "subject", about: "The program that the account is for, such as `client:batch` or `workload:github:octo-org/app`. Without it, for everybody.",
	}},
	answer: StartedConnection{}, fails: []int{http.StatusNotFound, http.StatusConflict}, serve: startConnection,
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

// StartedConnection is a connection that an operator began.
type StartedConnection struct {
	Site    string `json:"site"`
	Server  string `json:"server"`
	Subject string `json:"subject,omitempty"` // the program that it is for; none for everybody
	Status  string `json:"status"`            // `pending`
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
		err = c.checkServer(len(list.Connections))
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

// startConnection returns the link on which an operator connects a server, for
// everybody or for a service person. Whoever has the link can, once, for as long as it
// is good.
func startConnection(c *call) (any, error) {
	id, subject := c.named["server"], c.query.Get("subject")
	_, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(slices.Clone(sites), func(s *Site) bool { return s.Server.Config().Server(id) == nil })
	if len(found) == 0 {
		return nil, unknownServer(sites, id)
	}
	isMeant := func(m config.Mode) bool { return m == config.OAuth }
	if subject != "" {
		isMeant = config.Mode.PerUser
	}
	because := notConnected(found, id, subject)
	found = slices.DeleteFunc(found, func(s *Site) bool {
		auth := s.Server.Config().Server(id).Auth
		return auth == nil || !isMeant(auth.Mode)
	})
	if len(found) == 0 {
		return nil, because
	}
	if subject != "" {
		at := issuersOf(found)
		found = slices.DeleteFunc(found, func(s *Site) bool { _, known := s.Server.Config().SignIn.Service(subject); return !known })
		if len(found) == 0 {
			return nil, apiError(http.StatusNotFound, "there is no program "+strconv.Quote(subject)+" at "+strings.Join(at, ", ")+
				"; a client with client_credentials is client:<id>, a workload is workload:<name of the trust>:<its name>, and people connect their accounts themselves")
		}
	}
	if len(found) > 1 {
		return nil, apiError(http.StatusConflict, "several sites have a server "+strconv.Quote(id)+" to be connected so; name one with site, of: "+strings.Join(issuersOf(found), ", "))
	}
	return started(c, found[0], id, subject)
}

// notConnected says why no operator connects a server that sites have: for everybody
// or, if there is a subject, for a program.
func notConnected(sites []*Site, id, subject string) error {
	name := strconv.Quote(id)
	text := "no account is connected at server " + name + ": it has no auth, or auth none"
	for _, s := range sites {
		switch of := s.Server.Config().Server(id); {
		case of.Auth != nil && subject != "":
			text = "everybody shares one account at server " + name + "; leave out subject to connect it"
		case of.Auth != nil:
			text = "everybody has an account of their own at server " + name + ", and people connect theirs themselves; say with subject for which program you connect one"
		case len(of.Headers) > 0:
			text = "no account is connected at server " + name + ": the credential is in its auth headers"
		default:
			continue
		}
		break
	}
	return apiError(http.StatusConflict, text)
}

func started(c *call, site *Site, id, subject string) (any, error) {
	var link string
	var err error
	if subject == "" {
		if link, err = site.Server.Links.SharedURL(c.Context(), id); err == nil {
			site.Accounts.Started(id, time.Now().Add(server.ConnectLinkLifetime))
		}
	} else {
		service, _ := site.Server.Config().SignIn.Service(subject)
		if !site.Server.Policy.MayUse(service, site.Server.Config().Server(id)) {
			return nil, apiError(http.StatusConflict, subject+" may not use server "+strconv.Quote(id)+", by the configuration")
		}
		link, err = site.Server.Links.ServiceURL(c.Context(), service, id)
	}
	if err != nil {
		return nil, failure(err)
	}
	return StartedConnection{Site: site.Issuer, Server: id, Subject: subject, Status: "pending", AuthorizeURL: link}, nil
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
