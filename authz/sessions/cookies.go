package sessions

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// browserForms is what the tokens of forms outside of any flow are made for.
const browserForms = "browser"

// Cookies are those that bind flows and sessions to a browser. The __Host-
// prefix keeps a neighbour on a subdomain from planting one (RFC 6265bis section
// 4.1.3.2); it needs https, which only loopback goes without.
type Cookies struct{ secure bool }

// CookiesOf returns the cookies of an issuer.
func CookiesOf(issuer string) Cookies { return Cookies{strings.HasPrefix(issuer, "https://")} }

// FlowName names the cookie that binds a flow to the browser that started it. Each
// flow has its own, so that tabs do not disturb each other.
func (c Cookies) FlowName(id string) string { return c.flowPrefix() + id[:min(8, len(id))] }

func (c Cookies) flowPrefix() string {
	if c.secure {
		return "__Host-mcp_flow_"
	}
	return "mcp_flow_"
}

// session names the cookie of the browser session.
func (c Cookies) session() string {
	if c.secure {
		return "__Host-mcp_browser"
	}
	return "mcp_browser"
}

// Cookie returns what gives the browser a secret. It goes when the browser is
// closed unless it has a lifetime; a negative one takes it back.
func (c Cookies) Cookie(name, secret string, lifetime time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: secret, Path: "/", MaxAge: int(lifetime.Seconds()),
		HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode,
	}
}

// Secret returns the value of a cookie, or "" unless the browser sent exactly
// one of the name.
func (c Cookies) Secret(r *http.Request, name string) string {
	sent := r.CookiesNamed(name)
	if len(sent) != 1 {
		return ""
	}
	return sent[0].Value
}

// flows returns the hashes of the secrets of all flows of the browser.
func (c Cookies) flows(r *http.Request) []storage.Hash {
	var flows []storage.Hash
	for _, cookie := range r.Cookies() {
		if strings.HasPrefix(cookie.Name, c.flowPrefix()) {
			flows = append(flows, storage.HashOf(cookie.Value))
		}
	}
	return flows
}

// CSRFToken is what only a page shown to the browser with the secret knows. It
// stays the same for the life of the secret: loading a page twice spoils neither copy.
func CSRFToken(secret, what string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("csrf:" + what))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// CarriesCSRFToken reports whether a form was on a page that we showed to this browser.
func CarriesCSRFToken(r *http.Request, token string) bool {
	return hmac.Equal([]byte(r.PostForm.Get("csrf_token")), []byte(token))
}
