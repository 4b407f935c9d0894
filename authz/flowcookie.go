package authz

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// flowCookieName names the cookie that binds a flow to the browser that
// started it. Each flow has its own, so that tabs do not disturb each other.
// The __Host- prefix keeps a neighbour on a subdomain from planting one (RFC
// 6265bis section 4.1.3.2); it needs https, which only loopback goes without.
func (as *AuthorizationServer) flowCookieName(id string) string {
	return as.flowCookiePrefix() + id[:min(8, len(id))]
}

func (as *AuthorizationServer) flowCookiePrefix() string {
	if as.secure() {
		return "__Host-mcp_flow_"
	}
	return "mcp_flow_"
}

func (as *AuthorizationServer) secure() bool { return strings.HasPrefix(as.cfg.Issuer, "https://") }

// setFlowCookie gives the browser the flow's secret. It is never taken back: a
// browser that answers twice is told so only while it can show the cookie.
func (as *AuthorizationServer) setFlowCookie(w http.ResponseWriter, id, secret string) {
	http.SetCookie(w, &http.Cookie{
		Name: as.flowCookieName(id), Value: secret, Path: "/", MaxAge: int(as.cfg.Lifetimes.Flow.Seconds()),
		HttpOnly: true, Secure: as.secure(), SameSite: http.SameSiteLaxMode,
	})
}

// flowCookie returns the flow's secret, or "" unless the browser sent exactly one.
func (as *AuthorizationServer) flowCookie(r *http.Request, id string) string {
	cookies := r.CookiesNamed(as.flowCookieName(id))
	if len(cookies) != 1 {
		return ""
	}
	return cookies[0].Value
}

// flowCookies returns the hashes of the secrets of all flows of the browser.
func (as *AuthorizationServer) flowCookies(r *http.Request) []storage.Hash {
	var flows []storage.Hash
	for _, cookie := range r.Cookies() {
		if strings.HasPrefix(cookie.Name, as.flowCookiePrefix()) {
			flows = append(flows, storage.HashOf(cookie.Value))
		}
	}
	return flows
}

// csrfToken is what only a page shown to the browser with the secret knows. It
// stays the same for the life of the secret: loading a page twice spoils neither copy.
func csrfToken(secret, what string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("csrf:" + what))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// carriesToken reports whether a form was on a page that we showed to this browser.
func carriesToken(r *http.Request, token string) bool {
	return hmac.Equal([]byte(r.PostForm.Get("csrf_token")), []byte(token))
}
