package consent

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// proof is a way to identify a person by a form: as somebody, or not, for the
// reason of a code. who is what wrong ones are counted for.
type proof func(r *http.Request, who string) (id storage.Identity, code string, err error)

// byKey identifies a person by a virtual key. The key is never written
// anywhere: not to a page, a URL or a log. A right one passes however many
// wrong ones came before.
func (c *Consent) byKey(r *http.Request, who string) (storage.Identity, string, error) {
	if !c.offers(identity.VirtualKey) {
		return c.notOffered()
	}
	if key := c.as.Config().VirtualKeys.ByKey(r.PostForm.Get("vk")); key != nil {
		return key.Identity(), "", nil
	}
	if !c.as.AllowWrongKey(r, who) {
		return storage.Identity{}, "", refuse(http.StatusTooManyRequests, c.pages.text.TooManyKeys)
	}
	return storage.Identity{}, codeKey, nil
}

// byUserID identifies a person by what they say.
func (c *Consent) byUserID(r *http.Request, _ string) (storage.Identity, string, error) {
	if !c.offers(identity.UserID) {
		return c.notOffered()
	}
	id, err := identity.FromUserID(r.PostForm.Get("user_id"))
	if err != nil {
		return storage.Identity{}, codeUserID, nil
	}
	if !c.as.AllowUnproved(r) {
		return storage.Identity{}, "", refuse(http.StatusTooManyRequests, c.pages.text.TooManySignIns)
	}
	return id, "", nil
}

// anonymously goes on without knowing the person.
func (c *Consent) anonymously(r *http.Request, _ string) (storage.Identity, string, error) {
	if !c.offers(identity.Anonymous) {
		return c.notOffered()
	}
	if !c.as.AllowUnproved(r) {
		return storage.Identity{}, "", refuse(http.StatusTooManyRequests, c.pages.text.TooManySignIns)
	}
	return identity.NewAnonymous(), "", nil
}

// byCaddy identifies a person as the user whom another Caddy handler
// authenticated, provided that this is the user the page showed.
func (c *Consent) byCaddy(r *http.Request, _ string) (storage.Identity, string, error) {
	if !c.offers(identity.Caddy) {
		return c.notOffered()
	}
	user, ok := identity.FromContext(r.Context())
	if !ok {
		return storage.Identity{}, codeNoUser, nil
	}
	if !shown(r, user) {
		return storage.Identity{}, codeOtherUser, nil
	}
	return user, "", c.as.ProvedAgain(r.Context(), user)
}

func (c *Consent) notOffered() (storage.Identity, string, error) {
	return storage.Identity{}, "", refuse(http.StatusForbidden, c.pages.text.NotOffered)
}

// identifyBy takes a form of the identity page.
func (c *Consent) identifyBy(prove proof) func(http.ResponseWriter, *http.Request, *authz.Flow) error {
	return func(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
		id, code, err := prove(r, f.ID)
		if own := (*failure)(nil); errors.As(err, &own) && own.status == http.StatusTooManyRequests {
			return own.backTo(pageURL(authz.ConsentPath, f, ""))
		}
		if err != nil {
			return err
		}
		if code != "" {
			return c.askAgain(w, f, code)
		}
		if f.Identity != nil && !f.Identity.Same(id) {
			if err := c.startOver(r.Context(), f); err != nil {
				return err
			}
		}
		if err := c.as.Identify(r.Context(), f, id); err != nil {
			return err
		}
		c.redirect(w, pageURL(authz.ServicesPath, f, "", "focus", c.serverID(r.PostForm.Get("focus"))))
		return nil
	}
}

// askAgain shows the identity page with the message of a code.
func (c *Consent) askAgain(w http.ResponseWriter, f *authz.Flow, code string) error {
	c.redirect(w, pageURL(authz.ConsentPath, f, code))
	return nil
}

// digest stands for an identity in a form, so that the form tells whom the
// person saw without spelling it out. Whoever has the name now by another proof
// is somebody else.
func digest(id storage.Identity) string {
	sum := sha256.Sum256([]byte(id.Subject + "\x00" + id.Proof))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// shown reports whether the page that the form is on showed this identity.
func shown(r *http.Request, id storage.Identity) bool {
	return subtle.ConstantTimeCompare([]byte(r.PostForm.Get("identity")), []byte(digest(id))) == 1
}
