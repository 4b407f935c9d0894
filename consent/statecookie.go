package consent

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// stateCookieLifetime is at least as long as somebody may take elsewhere.
const stateCookieLifetime = 15 * time.Minute

// newStateSecret returns what an answer to a state must come with.
func newStateSecret() string { return rand.Text() + rand.Text() } // 260 bits

// stateCookies bind what a browser was sent elsewhere with to that browser. Each
// state has its own cookie.
type stateCookies struct {
	prefix string // of their names
	secure bool
}

func isHTTPS(issuer string) bool { return strings.HasPrefix(issuer, "https://") }

// name names the cookie by the state, which is all that comes back.
func (c stateCookies) name(state string) string {
	sum := sha256.Sum256([]byte(state))
	name := c.prefix + base64.RawURLEncoding.EncodeToString(sum[:6])
	if c.secure {
		return "__Host-" + name
	}
	return name
}

// set gives the browser the secret of a state.
func (c stateCookies) set(w http.ResponseWriter, state, secret string) {
	c.write(w, state, secret, stateCookieLifetime)
}

// remove takes the secret back.
func (c stateCookies) remove(w http.ResponseWriter, state string) {
	c.write(w, state, "", -time.Second)
}

func (c stateCookies) write(w http.ResponseWriter, state, secret string, lifetime time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: c.name(state), Value: secret, Path: "/", MaxAge: int(lifetime.Seconds()),
		HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode,
	})
}

// get returns the secret of a state, or "" unless the browser sent exactly one.
func (c stateCookies) get(r *http.Request, state string) string {
	cookies := r.CookiesNamed(c.name(state))
	if len(cookies) != 1 {
		return ""
	}
	return cookies[0].Value
}
