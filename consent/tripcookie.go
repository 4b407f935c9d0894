package consent

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// tripCookieLifetime is at least as long as a trip can take.
const tripCookieLifetime = 15 * time.Minute

// caddyTrip begins the secret of a trip on which a user of another handler is.
const caddyTrip = "caddy."

// newTripSecret returns what an answer to a trip must come with.
func newTripSecret(who storage.Identity) string {
	secret := rand.Text() + rand.Text() // 260 bits
	if who.Kind == string(identity.Caddy) {
		return caddyTrip + secret
	}
	return secret
}

// tripCookieName names the cookie of a trip by its state, which is all that
// comes back.
func (c *Consent) tripCookieName(state string) string {
	sum := sha256.Sum256([]byte(state))
	name := "mcp_trip_" + base64.RawURLEncoding.EncodeToString(sum[:6])
	if c.secure() {
		return "__Host-" + name
	}
	return name
}

func (c *Consent) secure() bool { return strings.HasPrefix(c.as.Config().Issuer, "https://") }

// setTripCookie gives the browser the secret of a trip; a negative lifetime
// takes it back.
func (c *Consent) setTripCookie(w http.ResponseWriter, state, secret string, lifetime time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: c.tripCookieName(state), Value: secret, Path: "/", MaxAge: int(lifetime.Seconds()),
		HttpOnly: true, Secure: c.secure(), SameSite: http.SameSiteLaxMode,
	})
}

// tripCookie returns the secret of a trip, or "" unless the browser sent exactly one.
func (c *Consent) tripCookie(r *http.Request, state string) string {
	cookies := r.CookiesNamed(c.tripCookieName(state))
	if len(cookies) != 1 {
		return ""
	}
	return cookies[0].Value
}
