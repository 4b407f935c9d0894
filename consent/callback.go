package consent

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// callback takes the answers of providers.
//
// A handler that signs people in is in front of our pages, and often not in
// front of this path. Where one of its users left, the browser goes on to one of
// the pages, and there it shows who is signed in.
type callback struct {
	*web
	sessions  *sessions.Sessions
	broker    broker
	connector *connector
	cookies   stateCookies
	cfg       *config.Site
}

func (p *callback) handler() http.Handler {
	return p.answered(p.unknownState, func(w http.ResponseWriter, r *http.Request, query url.Values) error {
		if query.Get("state") == "" {
			return p.unknownState()
		}
		answer := accounts.Answer{
			State: query.Get("state"), Code: query.Get("code"), Iss: query.Get("iss"), Error: query.Get("error"), Path: r.URL.Path,
		}
		if p.isUnseen(r, p.cookies.get(r, answer.State)) {
			p.pages.Redirect(w, withQuery(answerPath, "code", p.broker.SealAnswer(answer)))
			return nil
		}
		return p.finish(w, r, answer)
	})
}

// isUnseen reports whether the person who left with the secret is authenticated by
// each request, and this request is not.
func (p *callback) isUnseen(r *http.Request, secret string) bool {
	kind, _, _ := strings.Cut(secret, ".")
	m := p.cfg.SignIn.Of(kind)
	if m == nil || m.Current == nil {
		return false
	}
	_, seen := m.Current(r)
	return !seen
}

// answerPage takes an answer that the callback passed on.
func (p *callback) answerPage() http.Handler {
	return p.answered(p.unknownState, func(w http.ResponseWriter, r *http.Request, query url.Values) error {
		answer, err := p.broker.OpenAnswer(query.Get("code"))
		if err != nil {
			return err
		}
		return p.finish(w, r, answer)
	})
}

// unknownState refuses what answers nothing that began here.
func (p *callback) unknownState() error {
	t := p.pages.Text()
	return refuse(http.StatusBadRequest, "request_ended", t.Refused[string(accounts.RequestEnded)]).next(t.ConnectNext)
}

// finish connects the account. It strips the code from the address by sending
// the browser on to the page the person left from.
func (p *callback) finish(w http.ResponseWriter, r *http.Request, answer accounts.Answer) error {
	secret := p.cookies.get(r, answer.State)
	if secret == "" {
		t := p.pages.Text()
		return refuse(http.StatusForbidden, "other_browser", t.ConnectOtherBrowser).next(t.ConnectNext)
	}
	answer.Browser = storage.HashOf(secret)
	answer.Present = func(who storage.Authentication, server string) error { return p.present(r, who, server) }
	outcome, err := p.broker.Finish(r.Context(), answer)
	if refused := (*client.Error)(nil); err == nil || errors.As(err, &refused) {
		p.cookies.remove(w, answer.State)
	} // else a store failed, and the person loads the page again
	if err != nil {
		return p.connector.failed(w, r, outcome.ReturnTo, err)
	}
	p.connector.finished(w, r, outcome.ReturnTo)
	return nil
}

// present returns nil if the person who left is still signed in.
func (p *callback) present(r *http.Request, who storage.Authentication, server string) error {
	err := p.sessions.CheckAuthentication(r, who, server)
	if errors.Is(err, sessions.ErrSignedOut) || err == nil && !p.cfg.SignIn.IsCurrent(r, who.Identity) {
		return &client.Error{Problem: accounts.Left, Cause: sessions.ErrSignedOut}
	}
	return err
}

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
