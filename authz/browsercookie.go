package authz

import (
	"net/http"
	"time"
)

// browserForms is what the tokens of forms outside of any flow are made for.
const browserForms = "browser"

// browserCookieName names the cookie of the browser session, with the prefix
// that flowCookieName explains.
func (as *AuthorizationServer) browserCookieName() string {
	if as.secure() {
		return "__Host-mcp_browser"
	}
	return "mcp_browser"
}

// setBrowserCookie gives the browser its secret. It goes when the browser is
// closed unless it has a lifetime; a negative one takes it back.
func (as *AuthorizationServer) setBrowserCookie(w http.ResponseWriter, secret string, lifetime time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: as.browserCookieName(), Value: secret, Path: "/", MaxAge: int(lifetime.Seconds()),
		HttpOnly: true, Secure: as.secure(), SameSite: http.SameSiteLaxMode,
	})
}

// browserCookie returns the browser's secret, or "" unless there is exactly one.
func (as *AuthorizationServer) browserCookie(r *http.Request) string {
	cookies := r.CookiesNamed(as.browserCookieName())
	if len(cookies) != 1 {
		return ""
	}
	return cookies[0].Value
}
