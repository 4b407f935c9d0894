package consent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// showConnect is where the link leads that a client gave a person to connect a
// server. The link proves nothing: only the person it was made for may go on,
// whoever else opens it connects nothing (MCP elicitation, phishing).
func (c *Consent) showConnect(w http.ResponseWriter, r *http.Request, s *authz.Session) error {
	t := c.pages.text
	query := r.URL.Query()
	ticket := strings.TrimPrefix(r.URL.Path, authz.ConnectPath)
	done := query.Get("done") != "" && query.Get("error") == ""
	link, err := c.openLink(r.Context(), ticket)
	// Whoever used the link, perhaps at its end, is still told that it worked.
	if err != nil && !(done && (errors.Is(err, authz.ErrLinkExpired) || errors.Is(err, authz.ErrLinkUsed))) {
		return err
	}
	shared := link.IsShared()
	if !shared && (s.Identity == nil || !link.IsFor(*s.Identity)) {
		lead := t.ConnectWho
		if s.Identity != nil {
			lead = t.ConnectOther
		}
		return c.showSignIn(w, r, s, http.StatusForbidden, lead, ticket)
	}
	g, err := c.goalOfLink(s, link)
	if err != nil {
		return err
	}
	standing, err := c.standing(r.Context(), g.owner)
	if err != nil {
		return err
	}
	status := standing[link.Server]
	view := c.describeConnection(g.server, g.upstream, status, nil)
	view.Works = view.Works && (done || containsAll(status.Scopes, link.Scopes))
	if !view.Works {
		view.Scopes, view.Asks = union(c.broker.Asks(r.Context(), link.Server), link.Scopes), true
	}
	var name, proof string
	title, lead, ok := t.ConnectTitle, t.ConnectAsks, t.ConnectDone
	if shared {
		lead, ok = t.SharedAsks, t.SharedDone
	} else {
		name, proof = c.nameOf(*s.Identity)
	}
	if view.Works {
		title, lead = t.ConnectedTitle, ok
		c.linkServed(ticket) // perhaps they connected it in another way
	}
	return c.pages.render(w, http.StatusOK, "connect", struct {
		frame
		fields
		Connection               connectionView
		Address, Identity, Proof string
		Declared                 bool
		Lead, AccountURL         string
		Notice                   notice
	}{
		frame:      c.pages.frame(fmt.Sprintf(title, view.Title)),
		fields:     fields{Ticket: ticket, CSRFToken: s.CSRFToken, FormsPath: accountFormsPath},
		Connection: view,
		Address:    address(g.server.Resource),
		Identity:   name,
		Proof:      proof,
		Declared:   !shared && s.Identity.Kind == string(identity.UserID),
		Lead:       lead,
		AccountURL: AccountPath,
		Notice:     c.notice(r),
	})
}

// openLink returns what a link stands for. With ErrLinkExpired or ErrLinkUsed
// it still does.
func (c *Consent) openLink(ctx context.Context, ticket string) (*authz.ConnectLink, error) {
	link, err := c.as.OpenConnectLink(ticket)
	if err != nil {
		return link, err
	}
	return link, c.as.CheckLinkUnused(ctx, link)
}

// goalOfLink returns the goal to connect what a link is for, if it was made for
// the person. One for the connection that everybody shares was handed to an
// operator by the admin API, and is the operator's proof.
func (c *Consent) goalOfLink(s *authz.Session, link *authz.ConnectLink) (goal, error) {
	var g goal
	var err error
	switch {
	case link.IsShared():
		g, err = c.goalOf(storage.SharedOwner, link.Server, c.as.Config().Servers)
	case s.Identity == nil:
		return g, c.signedOut()
	case !link.IsFor(*s.Identity):
		return g, refuse(http.StatusForbidden, c.pages.text.ConnectOther)
	default:
		g, err = c.goalOfPerson(s, link.Server)
	}
	g.scopes, g.once, g.lastDisconnect = link.Scopes, link.Once, link.LastDisconnect
	return g, err
}

// goalOfPerson returns the goal to connect a server that the person may use.
func (c *Consent) goalOfPerson(s *authz.Session, server string) (goal, error) {
	g, err := c.goalOf(s.Identity.Subject, server, c.as.ServersOf(*s.Identity))
	g.authentication = s.Authentication()
	return g, err
}

// goalOf returns the goal to connect one of the servers.
func (c *Consent) goalOf(owner, server string, among []authz.Server) (goal, error) {
	i := slices.IndexFunc(among, func(s authz.Server) bool { return s.ID == server })
	u := c.connectedBy(owner, server)
	if i < 0 || u == nil {
		return goal{}, c.notHere()
	}
	return goal{upstream: u, server: among[i], who: owner, owner: owner}, nil
}

func containsAll(whole, part []string) bool {
	return !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(whole, s) })
}

func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
