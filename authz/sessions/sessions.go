package sessions

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// Lifetime is how long a browser stays signed in.
const Lifetime = 30 * 24 * time.Hour

// Errors of a browser session.
var (
	ErrForged     = errors.New("authz: the form did not come from our page")          // 403
	ErrNotAllowed = errors.New("authz: the site does not know the identity any more") // 400
)

// Session is a person at the pages outside of any flow, in one browser.
type Session struct {
	// Identity is nil while the person has not signed in.
	Identity *storage.Identity
	// CSRFToken goes into every form, as csrf_token.
	CSRFToken string

	hash storage.Hash // of the cookie
}

// Authentication is who is signed in, and where. There is none before.
func (s *Session) Authentication() storage.Authentication {
	return storage.Authentication{Identity: *s.Identity, Session: s.hash}
}

// Sessions are the browsers in which people are signed in to the pages of one
// issuer.
type Sessions struct {
	cfg      *config.Site
	policy   *grants.Policy
	cookies  Cookies
	store    sessionStore
	macs     seal.MACs // bind cookies to whose session it is
	clientIP func(*http.Request) string
	now      func() time.Time
}

// sessionStore keeps sessions, and the flows that end with them.
type sessionStore interface {
	storage.AuthStore
	storage.SessionStore
}

// New returns the sessions of the site in the store.
func New(cfg *config.Site, policy *grants.Policy, store sessionStore, keys *seal.Keyring, clientIP func(*http.Request) string, now func() time.Time) *Sessions {
	return &Sessions{cfg, policy, CookiesOf(cfg.Issuer), store, keys.MACs("browser session " + cfg.Issuer), clientIP, now}
}

// Open returns who uses the browser. A browser without a cookie gets one with a
// page, so that the forms on it are bound to this browser; whoever signs in gets
// another. Anything but a page load must carry the
// csrf_token in r.PostForm, which the caller has filled.
func (ss *Sessions) Open(w http.ResponseWriter, r *http.Request) (*Session, error) {
	pageLoad := r.Method == http.MethodGet || r.Method == http.MethodHead
	secret := ss.cookies.Secret(r, ss.cookies.session())
	switch {
	case !pageLoad:
		if err := ss.CheckForm(r); err != nil {
			return nil, err
		}
	case secret == "":
		secret = oauth.NewSecret("")
		http.SetCookie(w, ss.cookies.Cookie(ss.cookies.session(), secret, 0))
		return &Session{CSRFToken: CSRFToken(secret, browserForms)}, nil
	}
	s := &Session{CSRFToken: CSRFToken(secret, browserForms), hash: storage.HashOf(secret)}
	if server := r.PostForm.Get("server"); server != "" { // they are about to connect it
		storage.ReadAhead(r.Context(), ss.store, storage.Wanted{
			Issuer: ss.cfg.Issuer, Session: s.hash, Connection: storage.ConnectionKey{Issuer: ss.cfg.Issuer, Server: server}, LastDisconnect: true,
		})
	}
	stored, err := ss.stored(r.Context(), s.hash)
	if err != nil {
		return nil, err
	}
	if stored != nil && ss.isOf(secret, stored.Identity) {
		s.Identity = &stored.Identity
	}
	return s, nil
}

// CheckForm is what Open looks at of a form, for one to which it is all the same who
// uses the browser.
func (ss *Sessions) CheckForm(r *http.Request) error {
	secret := ss.cookies.Secret(r, ss.cookies.session())
	if secret == "" || !CarriesCSRFToken(r, CSRFToken(secret, browserForms)) {
		return ErrForged
	}
	return nil
}

// Of returns the session that a request names; zero for none.
func (ss *Sessions) Of(r *http.Request) storage.Hash {
	if secret := ss.cookies.Secret(r, ss.cookies.session()); secret != "" {
		return storage.HashOf(secret)
	}
	return storage.Hash{}
}

// Login is somebody who was identified just now, and is kept together with the browser
// session that begins.
type Login interface {
	Identity() storage.Identity
	CreateBrowserSession(ctx context.Context, b storage.SignIn, cookie func(storage.Identity) storage.Hash) (storage.Identity, error)
}

// SignIn makes this browser the person's, and returns them as they are kept. Its cookie
// changes, so that one which somebody planted, or knew, is worth nothing. It goes on
// when the browser goes away: what it came with may work only once.
func (ss *Sessions) SignIn(w http.ResponseWriter, r *http.Request, l Login) (storage.Identity, error) {
	if !ss.policy.Allows(l.Identity()) {
		return l.Identity(), ErrNotAllowed
	}
	secret := ss.newSecret()
	cookie := func(id storage.Identity) storage.Hash { return storage.HashOf(secret(id)) }
	id, err := l.CreateBrowserSession(context.WithoutCancel(r.Context()), ss.begin(r, l.Identity()), cookie)
	if err != nil {
		return id, err
	}
	http.SetCookie(w, ss.cookies.Cookie(ss.cookies.session(), secret(id), Lifetime))
	return id, nil
}

// Begin returns a session for the browser of the request, in the place of the
// one it may have, and the cookie to give to the browser once it is stored.
func (ss *Sessions) Begin(r *http.Request, id storage.Identity) (storage.SignIn, *http.Cookie) {
	s, secret := ss.begin(r, id), ss.newSecret()(id)
	s.Hash = storage.HashOf(secret)
	return s, ss.cookies.Cookie(ss.cookies.session(), secret, Lifetime)
}

// begin returns a session without a cookie.
func (ss *Sessions) begin(r *http.Request, id storage.Identity) storage.SignIn {
	now := ss.now()
	s := storage.SignIn{
		BrowserSession: storage.BrowserSession{
			Issuer: ss.cfg.Issuer, Identity: id, CreatedAt: now, ExpiresAt: now.Add(Lifetime),
		},
		Flows: ss.cookies.flows(r), EndsOthers: true,
	}
	if m := ss.cfg.SignIn.Of(id.Kind); m != nil && m.SingleUse {
		s.EndsOthers = false // each is another, also in the next tab
	}
	if !ss.cfg.SignIn.ExcludesStrangers(id) {
		s.Quota = ratelimit.Quota(ss.clientIP(r), *ss.cfg.Registration.MaxUnproved)
	}
	if before := ss.cookies.Secret(r, ss.cookies.session()); before != "" {
		s.Replaces = storage.HashOf(before)
	}
	return s
}

// SignOut ends the session of this browser, and the flows of its person there.
func (ss *Sessions) SignOut(w http.ResponseWriter, r *http.Request) error {
	if err := ss.endSession(r); err != nil {
		return err
	}
	ss.Forget(w)
	return nil
}

// Forget takes its cookie from a browser whose session has ended.
func (ss *Sessions) Forget(w http.ResponseWriter) {
	http.SetCookie(w, ss.cookies.Cookie(ss.cookies.session(), "", -time.Second))
}

func (ss *Sessions) endSession(r *http.Request) error {
	secret := ss.cookies.Secret(r, ss.cookies.session())
	if secret == "" {
		return nil
	}
	if err := ss.store.DeleteBrowserSession(r.Context(), storage.HashOf(secret), ss.cookies.flows(r), ss.now()); err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}
