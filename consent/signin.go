package consent

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

// showSignIn asks who the person is, outside of any flow. Nobody signs in as
// nobody: whoever did so in a flow is known by their browser alone.
func (c *Consent) showSignIn(w http.ResponseWriter, r *http.Request, s *authz.Session, status int, lead, ticket string) error {
	t := c.pages.text
	kinds := slices.DeleteFunc(slices.Clone(c.as.Config().Identities), func(k identity.Kind) bool {
		return k == identity.Anonymous
	})
	return c.pages.render(w, status, "signin", struct {
		frame
		fields
		identityForms
		Lead   string
		Notice notice
	}{
		frame:         c.pages.frame(fmt.Sprintf(t.IdentityTitle, c.site)),
		fields:        fields{Ticket: ticket, Focus: c.serverID(r.URL.Query().Get("focus")), CSRFToken: s.CSRFToken, FormsPath: accountFormsPath},
		identityForms: c.identityForms(r, kinds, t.CaddyNobodyHere),
		Lead:          lead,
		Notice:        c.notice(r),
	})
}

// signInBy takes a form of that page. All it knows of where the person was
// going is a ticket of ours, so it leads nowhere else.
func (c *Consent) signInBy(prove proof) visitor {
	return func(w http.ResponseWriter, r *http.Request, _ *authz.Session) error {
		next := withQuery(AccountPath, "focus", c.serverID(r.PostForm.Get("focus")))
		if ticket := r.PostForm.Get("ticket"); ticket != "" {
			if _, err := c.as.OpenConnectLink(ticket); err != nil {
				return err
			}
			next = authz.ConnectPath + ticket
		}
		id, code, err := prove(r, "")
		if own := (*failure)(nil); errors.As(err, &own) && own.status == http.StatusTooManyRequests {
			return own.backTo(next)
		}
		if err != nil {
			return err
		}
		if code != "" {
			c.redirect(w, withQuery(next, "error", code))
			return nil
		}
		if err := c.as.SignIn(w, r, id); err != nil {
			return err
		}
		c.redirect(w, next)
		return nil
	}
}

func (c *Consent) signOut(w http.ResponseWriter, r *http.Request, _ *authz.Session) error {
	if err := c.as.SignOut(w, r); err != nil {
		return err
	}
	c.redirect(w, AccountPath)
	return nil
}

func (c *Consent) signOutEverywhere(w http.ResponseWriter, r *http.Request, s *authz.Session) error {
	if err := c.as.SignOutEverywhere(r.Context(), s.Identity.Subject); err != nil {
		return err
	}
	c.as.ForgetBrowser(w)
	c.redirect(w, AccountPath)
	return nil
}
