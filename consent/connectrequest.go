package consent

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// connectRequest is a connection that a person wants.
type connectRequest struct {
	server         *config.Server
	who            string // counts attempts: a flow's ID or a subject
	owner          string
	scopes         []string
	keepUntil      time.Time
	authentication storage.Authentication
	once           storage.Hash
	lastDisconnect uint64 // when the link with once was made
	returnTo       string // the page they left from
	keyPage        string // where they paste keys
}

// learn has the events of a request name what it connects.
func (c *connectRequest) learn(r *http.Request) {
	event.Learn(r.Context(), event.Event{Server: c.server.ID})
}

type (
	connectHandler func(http.ResponseWriter, *http.Request, connectRequest) error
	keyPage        func(http.ResponseWriter, *http.Request, connectRequest, keyForm) error
)

// targets decides what a person may connect outside of flows.
type targets struct {
	cfg         *config.Site
	text        *pages.Text
	policy      *grants.Policy
	links       *server.Links
	connections *connections
}

// of returns what the person wants to connect: what a link is for, or a server
// of the account page.
func (t *targets) of(ctx context.Context, s *sessions.Session, values url.Values) (connectRequest, error) {
	ticket := values.Get("ticket")
	if ticket == "" {
		if s.Identity == nil {
			return connectRequest{}, signedOut(t.text)
		}
		server := values.Get("server")
		c, err := t.ofPerson(s, server)
		c.returnTo = withQuery(accountPath, "server", server)
		c.keyPage = withQuery(accountKeyPath, "server", server)
		return c, err
	}
	link, err := t.openLink(ctx, ticket)
	if err != nil {
		return connectRequest{}, err
	}
	c, err := t.ofLink(s, link)
	c.returnTo = withQuery(server.ConnectPath+ticket, "server", link.Server, "done", "1")
	c.keyPage = withQuery(accountKeyPath, "server", link.Server, "ticket", ticket)
	return c, err
}

// openLink returns what a link stands for. With ErrLinkExpired or ErrLinkUsed
// it still does.
func (t *targets) openLink(ctx context.Context, ticket string) (*server.ConnectLink, error) {
	link, err := t.links.Open(ticket)
	if err != nil {
		return link, err
	}
	return link, t.links.CheckUnused(ctx, link)
}

// ofLink returns the request to connect what a link is for, if it was made for
// the person. One for the connection that everybody shares was handed to an
// operator by the admin API, and is the operator's proof.
func (t *targets) ofLink(s *sessions.Session, link *server.ConnectLink) (connectRequest, error) {
	var c connectRequest
	var err error
	switch {
	case link.IsShared():
		c, err = t.one(storage.SharedOwner, link.Server, t.cfg.Servers)
	case s.Identity == nil:
		return c, signedOut(t.text)
	case !link.IsFor(*s.Identity):
		return c, refuse(http.StatusForbidden, "other_person", t.text.ConnectOther)
	default:
		c, err = t.ofPerson(s, link.Server)
	}
	c.scopes, c.once, c.lastDisconnect = link.Scopes, link.Once, link.LastDisconnect
	return c, err
}

// ofPerson returns the request to connect a server that the person may use.
func (t *targets) ofPerson(s *sessions.Session, server string) (connectRequest, error) {
	c, err := t.one(s.Identity.Subject, server, t.policy.ServersOf(*s.Identity))
	c.authentication = s.Authentication()
	return c, err
}

// one returns the request to connect one of the servers.
func (t *targets) one(owner, server string, among []*config.Server) (connectRequest, error) {
	i := slices.IndexFunc(among, func(s *config.Server) bool { return s.ID == server })
	if i < 0 || !t.connections.connectedBy(owner, among[i]) {
		return connectRequest{}, notHere(t.text)
	}
	return connectRequest{server: among[i], who: owner, owner: owner}, nil
}

// accept takes a form with which somebody connects a server.
func (t *targets) accept(connect connectHandler) visitHandler {
	return func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		c, err := t.of(r.Context(), s, r.PostForm)
		if err != nil {
			return err
		}
		return connect(w, r, c)
	}
}

// keyPage serves the page for the keys of a server.
func (t *targets) keyPage(show keyPage) visitHandler {
	return func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		query := r.URL.Query()
		c, err := t.of(r.Context(), s, query)
		if err != nil {
			return err
		}
		return show(w, r, c, keyForm{
			fields: fields{Ticket: query.Get("ticket"), CSRFToken: s.CSRFToken, FormsPath: accountKeyPath},
		})
	}
}
