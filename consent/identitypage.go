package consent

import (
	"fmt"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

// hidden fields of every form.
type fields struct {
	FlowID    string
	CSRFToken string
	FormsPath string
}

func fieldsOf(f *authz.Flow) fields {
	return fields{FlowID: f.SealedID, CSRFToken: f.CSRFToken, FormsPath: authz.ConsentFormsPath}
}

// showIdentity asks who the person is. It is shown even if there is only one
// answer: nothing happens before a person pressed a button.
func (c *Consent) showIdentity(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	t := c.pages.text
	view := struct {
		frame
		fields
		Client                                 clientView
		Lead, Refused                          string
		Kinds                                  []identity.Kind
		User, UserDigest, UserHint, UserButton string
	}{
		frame:   c.pages.frame(fmt.Sprintf(t.IdentityTitle, c.site)),
		fields:  fieldsOf(f),
		Client:  c.describe(f),
		Lead:    t.IdentityLead,
		Refused: t.Refused[r.URL.Query().Get("error")],
		Kinds:   c.as.Config().Identities,
	}
	if user, ok := identity.FromContext(r.Context()); ok {
		view.User = user.Name
		view.UserDigest = digest(user)
		view.UserHint = fmt.Sprintf(t.CaddyHint, user.Name)
		view.UserButton = fmt.Sprintf(t.CaddyButton, user.Name)
	}
	return c.pages.render(w, http.StatusOK, "identity", view)
}
