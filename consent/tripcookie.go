package consent

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// tripCookieLifetime is at least as long as a trip can take.
const tripCookieLifetime = 15 * time.Minute

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
