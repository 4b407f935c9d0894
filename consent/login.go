package consent

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// logins sends people elsewhere to sign in.
type logins struct {
	*web
	issuer  string
	pending *identity.Logins
	limits  *ratelimit.Attempts
	cookies stateCookies
}

// start sends a person who pressed a button on a page of ours to where they sign
// in. Only now the browser gets the cookie that the answer must come with. Each
// login that begins is a record, and nothing is proved yet.
func (p *logins) start(w http.ResponseWriter, r *http.Request, m *identity.Method, page string, pending identity.PendingLogin) error {
	if !p.limits.AllowUnproved(r) {
		return tooMany(p.pages.Text().TooManySignIns).backTo(page)
	}
	pending.CallbackURL = p.issuer + identity.CallbackPath + m.Form
	secret := newStateSecret()
	target, state, err := p.pending.Start(r.Context(), m, pending, storage.HashOf(secret))
	if err != nil {
		return p.failed(w, r, m, page, err)
	}
	p.cookies.set(w, state, secret)
	p.pages.Redirect(w, target)
	return nil
}

// wantsOther reports whether the page on which the form in r.PostForm was told that
// the person may want another account. Where they sign in is asked to offer the
// choice, and no more: who they are is checked all the same.
func wantsOther(r *http.Request) bool { return r.PostForm.Get("other_account") != "" }

// failed answers somebody who was not identified elsewhere: on the page that they
// left from, in the words of the method, or on one that can be loaded again if
// nobody answers there. The log has the reason, under the reference that the
// person is shown.
func (p *logins) failed(w http.ResponseWriter, r *http.Request, m *identity.Method, page string, err error) error {
	if down := (*identity.Unavailable)(nil); errors.As(err, &down) {
		t := p.pages.Text()
		return refuse(http.StatusServiceUnavailable, "provider_unavailable", t.LoginUnavailable).next(t.LoginUnavailableNext).backTo(page).because(down.Cause).of(m)
	}
	denied := (*identity.Denied)(nil)
	if !errors.As(err, &denied) {
		return p.notIdentified(w, r, page, err)
	}
	refused := event.Event{Kind: event.SignInRefused, Identity: string(m.Kind), Provider: m.Provider, Reason: denied.Code, Err: denied.Cause}
	if denied.Operator {
		refused.Kind = event.SignInFailed
	}
	id := p.events.Refer(r.Context(), refused)
	p.pages.Redirect(w, withMore(withMore(page, "error", denied.Code), "ref", id))
	return nil
}

// loginCallback takes the answers that browsers come back with.
type loginCallback struct {
	*logins
	signIn     *signIn
	flows      *flows.Flows
	identity   *identityPage
	signInPage *signInPage
}

// handler serves the callback of a method.
func (p *loginCallback) handler(kind identity.Kind) http.Handler {
	return p.answered(p.ended, func(w http.ResponseWriter, r *http.Request, query url.Values) error {
		m, err := p.signIn.method(kind)
		if err != nil {
			return err
		}
		state := query.Get("state")
		secret := p.cookies.get(r, state)
		if state == "" || secret == "" {
			return explain(p.pages.Text(), identity.ErrLoginOtherBrowser).of(m)
		}
		pending, err := p.pending.Claim(r.Context(), state, storage.HashOf(secret))
		if err != nil {
			return p.refused(m, err)
		}
		p.cookies.remove(w, state)
		if pending.Kind != kind {
			return p.refused(m, identity.ErrLoginEnded)
		}
		return p.finish(w, r, m, pending, p.pending.Answer(state, pending, query))
	})
}

// refused names the place of a login in an error about its state. Any other is a
// store's.
func (p *loginCallback) refused(m *identity.Method, err error) error {
	if errors.Is(err, identity.ErrLoginEnded) || errors.Is(err, identity.ErrLoginOtherBrowser) {
		return explain(p.pages.Text(), err).of(m)
	}
	return err
}

// ended refuses what answers no login.
func (p *loginCallback) ended() error { return explain(p.pages.Text(), identity.ErrLoginEnded) }

// finish goes on as the person who came back. Their flow is looked at first:
// nothing is used up for one that has ended.
func (p *loginCallback) finish(w http.ResponseWriter, r *http.Request, m *identity.Method, pending identity.PendingLogin, answer identity.Answer) error {
	if pending.FlowID == "" {
		who, err := p.signIn.finish(r, m, "", answer)
		if err != nil {
			return p.failed(w, r, m, pending.ReturnTo, err)
		}
		return p.signInPage.proceed(w, r, pending.ReturnTo, who, err)
	}
	f, err := p.flows.OpenAgain(r, pending.FlowID)
	if err != nil {
		return err
	}
	learnFlow(r, f)
	who, err := p.signIn.finish(r, m, f.ID, answer)
	if err != nil {
		return p.failed(w, r, m, pageURL(server.ConsentPath, f, ""), err)
	}
	return p.identity.proceed(w, r, f, pending.Focus, who, err)
}

// routes returns the callbacks of the methods that need one.
func (p *loginCallback) routes() []server.Route {
	var routes []server.Route
	for _, m := range p.signIn.cfg.SignIn {
		if m.Finish != nil {
			routes = append(routes, server.Route{Path: identity.CallbackPath + m.Form, Handler: p.handler(m.Kind)})
		}
	}
	return routes
}
