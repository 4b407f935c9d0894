package consent

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
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
	lastDisconnect uint64         // when the link with once was made
	returnTo       string         // the page they left from
	keyPage        string         // where they paste keys
	problem        client.Problem // why it cannot be connected so; "" if it can
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
		if values.Has("account") {
			return t.ofNewAccount(ctx, s, values)
		}
		return t.onAccountPage(s, values.Get("server"))
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

// onAccountPage returns the request to connect a server of the account page.
func (t *targets) onAccountPage(s *sessions.Session, server string) (connectRequest, error) {
	c, err := t.ofPerson(s, server)
	c.returnTo = withQuery(accountPath, "server", server)
	c.keyPage = withQuery(accountKeyPath, "server", server)
	return c, err
}

// ofNewAccount returns the request to connect one more account at a server, under
// the name that the person typed.
func (t *targets) ofNewAccount(ctx context.Context, s *sessions.Session, values url.Values) (connectRequest, error) {
	at, name := values.Get("server"), strings.ToLower(strings.TrimSpace(values.Get("account")))
	c, err := t.onAccountPage(s, at)
	switch {
	case err != nil:
		return c, err
	case !c.server.HasAccounts():
		return c, notHere(t.text)
	case !config.IsAccountName(name):
		c.problem = pages.CodeAccountName
		return c, nil
	}
	have, err := t.connections.statuses(ctx, c.owner)
	if err != nil {
		return c, err
	}
	id := config.AccountID(at, name)
	if _, exists := have[id]; exists {
		c.problem = pages.CodeAccountExists
		return c, nil
	}
	return t.onAccountPage(s, id)
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
// the person. One for the connection that everybody shares, or of a service person,
// was handed to an operator by the admin API, and is the operator's proof.
func (t *targets) ofLink(s *sessions.Session, link *server.ConnectLink) (connectRequest, error) {
	var c connectRequest
	var err error
	switch {
	case link.IsShared():
		c, err = t.one(storage.SharedOwner, link.Server, func(*config.Server) bool { return true })
	case link.Service != "":
		c, err = t.ofService(link)
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

// ofService returns the request to connect a server for the service person of a link,
// as long as the configuration has it as it was then.
func (t *targets) ofService(link *server.ConnectLink) (connectRequest, error) {
	id, ok := t.cfg.SignIn.Service(link.Service)
	if !ok || !link.IsFor(id) {
		return connectRequest{}, notHere(t.text)
	}
	return t.one(id.Subject, link.Server, func(at *config.Server) bool { return t.policy.MayUse(id, at) })
}

// ofPerson returns the request to connect a server that the person may use.
func (t *targets) ofPerson(s *sessions.Session, server string) (connectRequest, error) {
	c, err := t.one(s.Identity.Subject, server, func(at *config.Server) bool { return t.policy.MayUse(*s.Identity, at) })
	c.authentication = s.Authentication()
	return c, err
}

// one returns the request to connect a server, or an account there.
func (t *targets) one(owner, id string, may func(*config.Server) bool) (connectRequest, error) {
	s := t.cfg.Server(id)
	if s == nil || !may(s) || !t.connections.connectedBy(owner, s) {
		return connectRequest{}, notHere(t.text)
	}
	return connectRequest{server: s, who: owner, owner: owner}, nil
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
