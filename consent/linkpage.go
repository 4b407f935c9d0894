package consent

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
)

// linkPage is where the link leads that a client gave a person to connect a
// server. The link proves nothing: only the person it was made for may go on,
// whoever else opens it connects nothing (MCP elicitation, phishing).
type linkPage struct {
	*web
	*describer
	targets     *targets
	connections *connections
	connector   *connector
	signIn      *signInPage
}

func (p *linkPage) show(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	t := p.pages.Text()
	query := r.URL.Query()
	ticket := strings.TrimPrefix(r.URL.Path, server.ConnectPath)
	done := query.Get("done") != "" && query.Get("error") == ""
	link, err := p.targets.openLink(r.Context(), ticket)
	// Whoever used the link, perhaps at its end, is still told that it worked.
	if err != nil && !(done && (errors.Is(err, server.ErrLinkExpired) || errors.Is(err, server.ErrLinkUsed))) {
		return err
	}
	shared := link.IsShared()
	if !shared && (s.Identity == nil || !link.IsFor(*s.Identity)) {
		lead := t.ConnectWho
		if s.Identity != nil {
			lead = t.ConnectOther
		}
		return p.signIn.show(w, r, s, signInView{Status: http.StatusForbidden, Lead: lead, Ticket: ticket})
	}
	c, err := p.targets.ofLink(s, link)
	if err != nil {
		return err
	}
	statuses, err := p.connections.statuses(r.Context(), c.owner)
	if err != nil {
		return err
	}
	status := statuses[link.Server]
	view := p.connections.describe(c.server, status, nil)
	view.Works = view.Works && (done || containsAll(status.Scopes, link.Scopes))
	if !view.Works {
		view.Scopes, view.Asks = union(p.connections.broker.RequestedScopes(r.Context(), link.Server), link.Scopes), true
	}
	var name, proof string
	title, lead, ok := t.ConnectTitle, t.ConnectAsks, t.ConnectDone
	if shared {
		lead, ok = t.SharedAsks, t.SharedDone
	} else {
		name, proof = p.person(*s.Identity)
	}
	if view.Works {
		title, lead = t.ConnectedTitle, ok
		p.connector.notifyLinkUsed(ticket) // perhaps they connected it in another way
	}
	return p.pages.Render(w, http.StatusOK, "connect", struct {
		pages.Frame
		fields
		Connection               connectionView
		Address, Identity, Proof string
		Declared                 bool
		Lead, AccountURL         string
		Notice                   notice
	}{
		Frame:      p.pages.Frame(fmt.Sprintf(title, view.Title)),
		fields:     fields{Ticket: ticket, CSRFToken: s.CSRFToken, FormsPath: accountFormsPath},
		Connection: view,
		Address:    address(c.server.Resource),
		Identity:   name,
		Proof:      proof,
		Declared:   !shared && !p.cfg.SignIn.NameVerified(*s.Identity),
		Lead:       lead,
		AccountURL: accountPath,
		Notice:     p.notice(r),
	})
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
