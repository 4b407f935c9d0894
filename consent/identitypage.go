package consent

import (
	"fmt"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
)

// fields are the hidden ones of forms, and where forms go.
type fields struct {
	FlowID    string
	Ticket    string // of a connect link
	Focus     string // the server whose button has the focus when they are back
	CSRFToken string
	FormsPath string
}

func fieldsOf(f *authz.Flow) fields {
	return fields{FlowID: f.SealedID, CSRFToken: f.CSRFToken, FormsPath: authz.ConsentFormsPath}
}

// identityPage is where the person in a flow says who they are.
type identityPage struct {
	*web
	*describer
	flows       flows
	connections *connections
	prover      *prover
}

// show asks who the person is. The page is shown even if there is only one
// answer: nothing happens before a person pressed a button.
func (p *identityPage) show(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	t := p.pages.Text()
	hidden := fieldsOf(f)
	hidden.Focus = p.connections.serverID(r.URL.Query().Get("focus"))
	return p.pages.Render(w, http.StatusOK, "identity", struct {
		pages.Frame
		fields
		identityForms
		Client clientView
		Lead   string
		Notice notice
	}{
		Frame:         p.pages.Frame(fmt.Sprintf(t.IdentityTitle, p.site)),
		fields:        hidden,
		identityForms: p.prover.forms(r, p.cfg.Identities, t.CaddyNobody),
		Client:        p.client(f),
		Lead:          t.IdentityLead,
		Notice:        p.notice(r),
	})
}

// accept takes a form of the page.
func (p *identityPage) accept(prove proof) flowHandler {
	return func(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
		id, code, err := prove(r, f.ID)
		if err != nil {
			return backIfTooMany(err, pageURL(authz.ConsentPath, f, ""))
		}
		if code != "" {
			p.pages.Redirect(w, pageURL(authz.ConsentPath, f, code))
			return nil
		}
		if f.Identity != nil && !f.Identity.Same(id) {
			if err := p.connections.startOver(r.Context(), f); err != nil {
				return err
			}
		}
		if err := p.flows.Identify(r.Context(), f, id); err != nil {
			return err
		}
		p.pages.Redirect(w, pageURL(authz.ServicesPath, f, "", "focus", p.connections.serverID(r.PostForm.Get("focus"))))
		return nil
	}
}
