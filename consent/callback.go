package consent

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

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
	p.cookies.remove(w, answer.State)
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
