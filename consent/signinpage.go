package consent

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
)

// signInPage is where people sign in outside of any flow: at the account page,
// or the page of a connect link.
type signInPage struct {
	*web
	*describer
	sessions    sessions
	links       links
	connections *connections
	prover      *prover
}

// show asks who the person is. Nobody signs in as nobody: whoever did so in a
// flow is known by their browser alone.
func (p *signInPage) show(w http.ResponseWriter, r *http.Request, s *authz.Session, status int, lead, ticket string) error {
	t := p.pages.Text()
	kinds := slices.DeleteFunc(slices.Clone(p.cfg.Identities), func(k identity.Kind) bool {
		return k == identity.Anonymous
	})
	return p.pages.Render(w, status, "signin", struct {
		pages.Frame
		fields
		identityForms
		Lead   string
		Notice notice
	}{
		Frame:         p.pages.Frame(fmt.Sprintf(t.IdentityTitle, p.site)),
		fields:        fields{Ticket: ticket, Focus: p.connections.serverID(r.URL.Query().Get("focus")), CSRFToken: s.CSRFToken, FormsPath: accountFormsPath},
		identityForms: p.prover.forms(r, kinds, t.CaddyNobodyHere),
		Lead:          lead,
		Notice:        p.notice(r),
	})
}

// accept takes a form of the page. All it knows of where the person was going
// is a ticket of ours, so it leads nowhere else.
func (p *signInPage) accept(prove proof) visitHandler {
	return func(w http.ResponseWriter, r *http.Request, _ *authz.Session) error {
		next := withQuery(AccountPath, "focus", p.connections.serverID(r.PostForm.Get("focus")))
		if ticket := r.PostForm.Get("ticket"); ticket != "" {
			if _, err := p.links.OpenConnectLink(ticket); err != nil {
				return err
			}
			next = authz.ConnectPath + ticket
		}
		id, code, err := prove(r, "")
		if err != nil {
			return backIfTooMany(err, next)
		}
		if code != "" {
			p.pages.Redirect(w, withQuery(next, "error", code))
			return nil
		}
		if err := p.sessions.SignIn(w, r, id); err != nil {
			return err
		}
		p.pages.Redirect(w, next)
		return nil
	}
}
