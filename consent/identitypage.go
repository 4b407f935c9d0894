package consent

import (
	"fmt"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
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

// identityForms are the forms by which people say who they are.
type identityForms struct {
	Kinds                                  []identity.Kind
	User, UserDigest, UserHint, UserButton string
	Nobody                                 string
}

func (c *Consent) identityForms(r *http.Request, kinds []identity.Kind, nobody string) identityForms {
	forms := identityForms{Kinds: kinds, Nobody: nobody}
	if user, ok := identity.FromContext(r.Context()); ok {
		forms.User = user.Name
		forms.UserDigest = digest(user)
		forms.UserHint = fmt.Sprintf(c.pages.text.CaddyHint, user.Name)
		forms.UserButton = fmt.Sprintf(c.pages.text.CaddyButton, user.Name)
	}
	return forms
}

// showIdentity asks who the person is. It is shown even if there is only one
// answer: nothing happens before a person pressed a button.
func (c *Consent) showIdentity(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	t := c.pages.text
	hidden := fieldsOf(f)
	hidden.Focus = c.serverID(r.URL.Query().Get("focus"))
	return c.pages.render(w, http.StatusOK, "identity", struct {
		frame
		fields
		identityForms
		Client clientView
		Lead   string
		Notice notice
	}{
		frame:         c.pages.frame(fmt.Sprintf(t.IdentityTitle, c.site)),
		fields:        hidden,
		identityForms: c.identityForms(r, c.as.Config().Identities, t.CaddyNobody),
		Client:        c.describe(f),
		Lead:          t.IdentityLead,
		Notice:        c.notice(r),
	})
}
