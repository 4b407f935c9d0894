package consent

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// acceptKey identifies a person by a virtual key. The key is never written
// anywhere: not to a page, a URL or a log.
func (c *Consent) acceptKey(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	if !c.offers(identity.VirtualKey) {
		return c.notOffered()
	}
	if !c.as.AllowKeyAttempt(r, f) {
		return refuse(http.StatusTooManyRequests, c.pages.text.TooManyKeys).backTo(pageURL(authz.ConsentPath, f, ""))
	}
	key := c.as.Config().VirtualKeys.ByKey(r.PostForm.Get("vk"))
	if key == nil {
		return c.askAgain(w, f, codeKey)
	}
	return c.identify(w, r, f, key.Identity())
}

// acceptUserID identifies a person by what they say.
func (c *Consent) acceptUserID(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	if !c.offers(identity.UserID) {
		return c.notOffered()
	}
	id, err := identity.FromUserID(r.PostForm.Get("user_id"))
	if err != nil {
		return c.askAgain(w, f, codeUserID)
	}
	return c.identify(w, r, f, id)
}

// acceptAnonymous goes on without knowing the person.
func (c *Consent) acceptAnonymous(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	if !c.offers(identity.Anonymous) {
		return c.notOffered()
	}
	return c.identify(w, r, f, identity.NewAnonymous())
}

// acceptCaddyUser identifies a person as the user whom another Caddy handler
// authenticated, provided that this is the user the page showed.
func (c *Consent) acceptCaddyUser(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	if !c.offers(identity.Caddy) {
		return c.notOffered()
	}
	user, ok := identity.FromContext(r.Context())
	if !ok {
		return c.askAgain(w, f, codeNoUser)
	}
	if !shown(r, user) {
		return c.askAgain(w, f, codeOtherUser)
	}
	return c.identify(w, r, f, user)
}

func (c *Consent) identify(w http.ResponseWriter, r *http.Request, f *authz.Flow, id storage.Identity) error {
	if err := c.as.Identify(r.Context(), f, id); err != nil {
		return err
	}
	c.redirect(w, pageURL(authz.ServicesPath, f, ""))
	return nil
}

// askAgain shows the identity page with the message of a code.
func (c *Consent) askAgain(w http.ResponseWriter, f *authz.Flow, code string) error {
	c.redirect(w, pageURL(authz.ConsentPath, f, code))
	return nil
}

func (c *Consent) notOffered() error {
	return refuse(http.StatusForbidden, c.pages.text.NotOffered)
}

// digest stands for an identity in a form, so that the form tells whom the
// person saw without spelling out the subject.
func digest(id storage.Identity) string {
	sum := sha256.Sum256([]byte(id.Subject))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// shown reports whether the page that the form is on showed this identity.
func shown(r *http.Request, id storage.Identity) bool {
	return subtle.ConstantTimeCompare([]byte(r.PostForm.Get("identity")), []byte(digest(id))) == 1
}
