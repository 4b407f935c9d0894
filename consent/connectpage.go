package consent

import (
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
func (c *Consent) showConnect(w http.ResponseWriter, r *http.Request, s *authz.BrowserSession) error {
	t := c.pages.text
	query := r.URL.Query()
	ticket := strings.TrimPrefix(r.URL.Path, authz.ConnectPath)
	done := query.Get("done") != "" && query.Get("error") == ""
	link, err := c.as.OpenConnectLink(ticket)
	// Whoever was at the provider for long is still told that it worked.
	if err != nil && !(done && errors.Is(err, authz.ErrLinkExpired)) {
		return err
	}
	if s.Identity == nil || s.Identity.Subject != link.Subject {
		lead := t.ConnectWho
		if s.Identity != nil {
			lead = t.ConnectOther
		}
		return c.showSignIn(w, r, s, http.StatusForbidden, lead, ticket)
	}
	g, err := c.goalOf(*s.Identity, link.Server)
	if err != nil {
		return err
	}
	standing, err := c.standing(r.Context(), link.Subject)
	if err != nil {
		return err
	}
	status := standing[link.Server]
	view := c.describeConnection(g.server, g.upstream, status)
	view.Works = view.Works && (done || containsAll(status.Scopes, link.Scopes))
	if !view.Works {
		view.Scopes, view.Asks = union(g.upstream.Scopes, link.Scopes), true
	}
	name, proof := c.nameOf(*s.Identity)
	title := t.ConnectTitle
	if view.Works {
		title = t.ConnectedTitle
	}
	return c.pages.render(w, http.StatusOK, "connect", struct {
		frame
		fields
		Connection               connectionView
		Address, Identity, Proof string
		Declared                 bool
		AccountURL               string
		Notice                   notice
	}{
		frame:      c.pages.frame(fmt.Sprintf(title, view.Title)),
		fields:     fields{Ticket: ticket, CSRFToken: s.CSRFToken, FormsPath: accountFormsPath},
		Connection: view,
		Address:    address(g.server.Resource),
		Identity:   name,
		Proof:      proof,
		Declared:   s.Identity.Kind == string(identity.UserID),
		AccountURL: AccountPath,
		Notice:     c.notice(r),
	})
}

// goalOf returns the goal to connect a server for the person, if it is one
// that they can connect.
func (c *Consent) goalOf(id storage.Identity, server string) (goal, error) {
	servers := c.as.ServersOf(id)
	i := slices.IndexFunc(servers, func(s authz.Server) bool { return s.ID == server })
	if i < 0 || c.perUser(server) == nil {
		return goal{}, c.notHere()
	}
	return goal{upstream: c.perUser(server), server: servers[i], who: id.Subject, owner: id.Subject}, nil
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
