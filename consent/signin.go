package consent

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// proof is a way to identify a person by a form: as somebody, or not, for the
// reason of a code. who is what wrong ones are counted for.
type proof func(r *http.Request, who string) (id storage.Identity, code string, err error)

// prover finds out who a person is.
type prover struct {
	cfg      *authz.Config
	limits   limits
	sessions sessions
	text     *pages.Text
}

// offers reports whether the operator configured this kind of identity.
func (p *prover) offers(kind identity.Kind) bool { return slices.Contains(p.cfg.Identities, kind) }

// byKey identifies a person by a virtual key. The key is never written
// anywhere: not to a page, a URL or a log. A right one passes however many
// wrong ones came before.
func (p *prover) byKey(r *http.Request, who string) (storage.Identity, string, error) {
	if !p.offers(identity.VirtualKey) {
		return p.notOffered()
	}
	if key := p.cfg.VirtualKeys.ByKey(r.PostForm.Get("vk")); key != nil {
		return key.Identity(), "", nil
	}
	if !p.limits.AllowWrongKey(r, who) {
		return storage.Identity{}, "", tooMany(p.text.TooManyKeys)
	}
	return storage.Identity{}, pages.CodeKey, nil
}

// byUserID identifies a person by what they say.
func (p *prover) byUserID(r *http.Request, _ string) (storage.Identity, string, error) {
	if !p.offers(identity.UserID) {
		return p.notOffered()
	}
	id, err := identity.FromUserID(r.PostForm.Get("user_id"))
	if err != nil {
		return storage.Identity{}, pages.CodeUserID, nil
	}
	if !p.limits.AllowUnproved(r) {
		return storage.Identity{}, "", tooMany(p.text.TooManySignIns)
	}
	return id, "", nil
}

// anonymously goes on without knowing the person.
func (p *prover) anonymously(r *http.Request, _ string) (storage.Identity, string, error) {
	if !p.offers(identity.Anonymous) {
		return p.notOffered()
	}
	if !p.limits.AllowUnproved(r) {
		return storage.Identity{}, "", tooMany(p.text.TooManySignIns)
	}
	return identity.NewAnonymous(), "", nil
}

// byCaddy identifies a person as the user whom another Caddy handler
// authenticated, provided that this is the user the page showed.
func (p *prover) byCaddy(r *http.Request, _ string) (storage.Identity, string, error) {
	if !p.offers(identity.Caddy) {
		return p.notOffered()
	}
	user, ok := identity.FromContext(r.Context())
	if !ok {
		return storage.Identity{}, pages.CodeNoUser, nil
	}
	if !shown(r, user) {
		return storage.Identity{}, pages.CodeOtherUser, nil
	}
	return user, "", p.sessions.ProvedAgain(r.Context(), user)
}

func (p *prover) notOffered() (storage.Identity, string, error) {
	return storage.Identity{}, "", refuse(http.StatusForbidden, p.text.NotOffered)
}

// identityForms are the forms by which people say who they are.
type identityForms struct {
	Kinds                                  []identity.Kind
	User, UserDigest, UserHint, UserButton string
	Nobody                                 string
}

func (p *prover) forms(r *http.Request, kinds []identity.Kind, nobody string) identityForms {
	forms := identityForms{Kinds: kinds, Nobody: nobody}
	if user, ok := identity.FromContext(r.Context()); ok {
		forms.User = user.Name
		forms.UserDigest = digest(user)
		forms.UserHint = fmt.Sprintf(p.text.CaddyHint, user.Name)
		forms.UserButton = fmt.Sprintf(p.text.CaddyButton, user.Name)
	}
	return forms
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

// stillUser reports whether the identity is not one of Caddy's users, or the
// one who is signed in to the site now.
func stillUser(r *http.Request, id storage.Identity) bool {
	if id.Kind != string(identity.Caddy) {
		return true
	}
	user, ok := identity.FromContext(r.Context())
	return ok && user.Subject == id.Subject
}
