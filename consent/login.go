package consent

import (
	"errors"
	"net/http"
	"net/url"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
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
		p.logDenied(m, err)
		return p.notIdentified(w, page, err)
	}
	p.cookies.set(w, state, secret)
	p.pages.Redirect(w, target)
	return nil
}

func (p *logins) logDenied(m *identity.Method, err error) {
	if denied := (*identity.Denied)(nil); errors.As(err, &denied) {
		p.log.Debug("signing in elsewhere failed", zap.String("identity", string(m.Kind)),
			zap.String("code", denied.Code), zap.NamedError("cause", denied.Cause))
	}
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
			return explain(p.pages.Text(), identity.ErrLoginOtherBrowser)
		}
		pending, err := p.pending.Claim(r.Context(), state, storage.HashOf(secret))
		if err != nil {
			return err
		}
		p.cookies.remove(w, state)
		if pending.Kind != kind {
			return p.ended()
		}
		return p.finish(w, r, m, pending, p.pending.Answer(state, pending, query))
	})
}

// ended refuses what answers no login.
func (p *loginCallback) ended() error { return explain(p.pages.Text(), identity.ErrLoginEnded) }

// finish goes on as the person who came back. Their flow is looked at first:
// nothing is used up for one that has ended.
func (p *loginCallback) finish(w http.ResponseWriter, r *http.Request, m *identity.Method, pending identity.PendingLogin, answer identity.Answer) error {
	if pending.FlowID == "" {
		id, err := p.signIn.finish(r, m, "", answer)
		p.logDenied(m, err)
		return p.signInPage.proceed(w, r, pending.ReturnTo, id, err)
	}
	f, err := p.flows.Open(r, pending.FlowID)
	if err != nil {
		return err
	}
	id, err := p.signIn.finish(r, m, f.ID, answer)
	p.logDenied(m, err)
	return p.identity.proceed(w, r, f, pending.Focus, id, err)
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
