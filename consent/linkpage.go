package consent

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// linkPage is where the link leads that a client gave a person to connect a
// server. The link proves nothing: only the person it was made for may go on,
// whoever else opens it connects nothing (MCP elicitation, phishing).
type linkPage struct {
	*web
	*describer
	grants      *grants.Grants
	askedBy     func(ticket string) (grantID string, how mcp.Signal) // nil if nobody knows
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
	event.Learn(r.Context(), event.Event{Server: link.Server})
	p.events.Record(r.Context(), event.Event{Kind: event.LinkOpened})
	operators := link.IsOperators()
	if !operators && (s.Identity == nil || !link.IsFor(*s.Identity)) {
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
	title, lead := t.ConnectTitle, t.ConnectAsks
	if operators {
		lead = p.operatorsLead(link, t.SharedAsks, t.ServiceAsks)
	} else {
		name, proof = p.person(*s.Identity)
	}
	if view.Works {
		if title, lead = t.ConnectedTitle, p.operatorsLead(link, t.SharedDone, t.ServiceDone); !operators {
			if lead, err = p.whatNext(r, *s.Identity, ticket); err != nil {
				return err
			}
		}
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
		Declared:   !operators && !p.cfg.SignIn.NameVerified(*s.Identity),
		Lead:       lead,
		AccountURL: accountPath,
		Notice:     p.notice(r),
	})
}

// operatorsLead is what the page of an operator's link says: for everybody, or for the
// service person that it names.
func (p *linkPage) operatorsLead(link *server.ConnectLink, shared, service string) string {
	if link.Service == "" {
		return shared
	}
	return fmt.Sprintf(service, "\u2068"+cleanName(link.Service)+"\u2069")
}

// whatNext tells the person what to do in the application that gave them the
// link, as far as that is known.
func (p *linkPage) whatNext(r *http.Request, id storage.Identity, ticket string) (string, error) {
	t := p.pages.Text()
	if p.askedBy == nil {
		return fmt.Sprintf(t.ConnectDone, t.YourApplication), nil
	}
	grantID, how := p.askedBy(ticket)
	approved, err := p.grants.List(r.Context(), id.Subject)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(approved, func(g storage.Grant) bool { return g.ID == grantID })
	if i < 0 {
		return fmt.Sprintf(t.ConnectDone, t.YourApplication), nil
	}
	name := cleanName(approved[i].ClientName)
	application := cmp.Or(quote(name), t.YourApplication)
	for client, button := range t.ConnectPress {
		if how == mcp.ByElicitation && strings.HasPrefix(name, client) {
			return fmt.Sprintf(t.ConnectDonePress, application, button), nil
		}
	}
	return fmt.Sprintf(map[mcp.Signal]string{
		mcp.InWords: t.ConnectDone, mcp.ByInputRequired: t.ConnectDoneConfirm, mcp.ByElicitation: t.ConnectDoneTold,
	}[how], application), nil
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
