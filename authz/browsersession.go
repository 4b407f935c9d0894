package authz

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// browserSessionLifetime is how long a browser stays signed in.
const browserSessionLifetime = 30 * 24 * time.Hour

// BrowserSession is a person at the pages outside of any flow, in one browser.
type BrowserSession struct {
	// Identity is nil while the person has not signed in.
	Identity *storage.Identity
	// CSRFToken goes into every form, as csrf_token.
	CSRFToken string

	hash storage.Hash // of the cookie
}

// Authentication tells who is there, once somebody has signed in.
func (s *BrowserSession) Authentication() storage.Authentication {
	return storage.Authentication{Identity: *s.Identity, Session: s.hash}
}

// OpenBrowserSession returns who uses the browser. A browser without a cookie
// gets one with a page, so that the forms on it are bound to this browser;
// whoever signs in gets another. Anything but a page load must carry the
// csrf_token in r.PostForm, which the caller has filled.
func (as *AuthorizationServer) OpenBrowserSession(w http.ResponseWriter, r *http.Request) (*BrowserSession, error) {
	pageLoad := r.Method == http.MethodGet || r.Method == http.MethodHead
	secret := as.browserCookie(r)
	if secret == "" {
		if !pageLoad {
			return nil, ErrFlowForged
		}
		secret = oauth.NewSecret("")
		as.setBrowserCookie(w, secret, 0)
		return &BrowserSession{CSRFToken: csrfToken(secret, browserForms)}, nil
	}
	s := &BrowserSession{CSRFToken: csrfToken(secret, browserForms), hash: storage.HashOf(secret)}
	if !pageLoad && !carriesToken(r, s.CSRFToken) {
		return nil, ErrFlowForged
	}
	stored, err := as.deps.Store.BrowserSession(r.Context(), s.hash, as.deps.Now())
	switch {
	case errors.Is(err, storage.ErrNotFound):
	case err != nil:
		return nil, oauth.Unavailable(err)
	case stored.Issuer == as.cfg.Issuer && as.Policy.Allows(stored.Identity):
		s.Identity = &stored.Identity
	}
	return s, nil
}

// SignIn makes this browser the person's. Its cookie changes, so that one
// which somebody planted, or knew, is worth nothing.
func (as *AuthorizationServer) SignIn(w http.ResponseWriter, r *http.Request, id storage.Identity) error {
	if !as.Policy.Allows(id) {
		return ErrFlowInvalid
	}
	session, secret := as.newBrowserSession(r, id)
	if err := as.deps.Store.CreateBrowserSession(r.Context(), session); err != nil {
		return oauth.Unavailable(err)
	}
	as.setBrowserCookie(w, secret, browserSessionLifetime)
	return nil
}

// newBrowserSession returns a session for the browser of the request, in the
// place of the one it may have, and the cookie's secret.
func (as *AuthorizationServer) newBrowserSession(r *http.Request, id storage.Identity) (storage.BrowserSession, string) {
	secret, now := oauth.NewSecret(""), as.deps.Now()
	s := storage.BrowserSession{
		Hash: storage.HashOf(secret), Issuer: as.cfg.Issuer, Identity: id,
		CreatedAt: now, ExpiresAt: now.Add(browserSessionLifetime), Flows: as.flowCookies(r),
		EndsOthers: id.Kind != string(identity.Anonymous), // of which each is another, also in the next tab
	}
	if !identity.Kind(id.Kind).Proves() {
		s.Quota = quotaOf(as.deps.ClientIP(r), as.cfg.Registration.MaxUnproved)
	}
	if before := as.browserCookie(r); before != "" {
		s.Replaces = storage.HashOf(before)
	}
	return s, secret
}

// SignOut ends the session of this browser, and the flows of its person there.
func (as *AuthorizationServer) SignOut(w http.ResponseWriter, r *http.Request) error {
	if err := as.endBrowserSession(r); err != nil {
		return err
	}
	as.ForgetBrowser(w)
	return nil
}

// SignOutEverywhere ends what a person ever let in: every flow, so that none
// becomes another grant, every grant, and then every browser. A failure in
// between leaves them signed in to try again.
func (as *AuthorizationServer) SignOutEverywhere(ctx context.Context, subject string) error {
	if err := as.deps.Store.EndFlows(ctx, as.cfg.Issuer, subject, as.deps.Now()); err != nil {
		return oauth.Unavailable(err)
	}
	grants, err := as.Grants.List(ctx, subject)
	if err != nil {
		return err
	}
	for _, g := range grants {
		if err := as.Grants.Revoke(ctx, g.ID); err != nil {
			return err
		}
	}
	if err := as.deps.Store.DeleteBrowserSessions(ctx, as.cfg.Issuer, subject); err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}

// ForgetBrowser takes its cookie from a browser whose session has ended.
func (as *AuthorizationServer) ForgetBrowser(w http.ResponseWriter) {
	as.setBrowserCookie(w, "", -time.Second)
}

func (as *AuthorizationServer) endBrowserSession(r *http.Request) error {
	secret := as.browserCookie(r)
	if secret == "" {
		return nil
	}
	if err := as.deps.Store.DeleteBrowserSession(r.Context(), storage.HashOf(secret), as.flowCookies(r), as.deps.Now()); err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}
