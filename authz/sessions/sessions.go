package sessions

import (
	"errors"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
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
	clientIP func(*http.Request) string
	now      func() time.Time
}

// sessionStore keeps sessions, and the flows that end with them.
type sessionStore interface {
	storage.AuthStore
	storage.SessionStore
}

// New returns the sessions of the site in the store.
func New(cfg *config.Site, policy *grants.Policy, store sessionStore, clientIP func(*http.Request) string, now func() time.Time) *Sessions {
	return &Sessions{cfg, policy, CookiesOf(cfg.Issuer), store, clientIP, now}
}

// Open returns who uses the browser. A browser without a cookie gets one with a
// page, so that the forms on it are bound to this browser; whoever signs in gets
// another. Anything but a page load must carry the
// csrf_token in r.PostForm, which the caller has filled.
func (ss *Sessions) Open(w http.ResponseWriter, r *http.Request) (*Session, error) {
	pageLoad := r.Method == http.MethodGet || r.Method == http.MethodHead
	secret := ss.cookies.Secret(r, ss.cookies.session())
	if secret == "" {
		if !pageLoad {
			return nil, ErrForged
		}
		secret = oauth.NewSecret("")
		http.SetCookie(w, ss.cookies.Cookie(ss.cookies.session(), secret, 0))
		return &Session{CSRFToken: CSRFToken(secret, browserForms)}, nil
	}
	s := &Session{CSRFToken: CSRFToken(secret, browserForms), hash: storage.HashOf(secret)}
	if !pageLoad && !CarriesCSRFToken(r, s.CSRFToken) {
		return nil, ErrForged
	}
	stored, err := ss.stored(r.Context(), s.hash)
	if err != nil {
		return nil, err
	}
	if stored != nil {
		s.Identity = &stored.Identity
	}
	return s, nil
}

// Of returns the session that a request names; zero for none.
func (ss *Sessions) Of(r *http.Request) storage.Hash {
	if secret := ss.cookies.Secret(r, ss.cookies.session()); secret != "" {
		return storage.HashOf(secret)
	}
	return storage.Hash{}
}

// SignIn makes this browser the person's. Its cookie changes, so that one
// which somebody planted, or knew, is worth nothing.
func (ss *Sessions) SignIn(w http.ResponseWriter, r *http.Request, id storage.Identity) error {
	if !ss.policy.Allows(id) {
		return ErrNotAllowed
	}
	session, cookie := ss.Begin(r, id)
	if err := ss.store.CreateBrowserSession(r.Context(), session); err != nil {
		return oauth.Unavailable(err)
	}
	http.SetCookie(w, cookie)
	return nil
}

// Begin returns a session for the browser of the request, in the place of the
// one it may have, and the cookie to give to the browser once it is stored.
func (ss *Sessions) Begin(r *http.Request, id storage.Identity) (storage.SignIn, *http.Cookie) {
	secret, now := oauth.NewSecret(""), ss.now()
	s := storage.SignIn{
		BrowserSession: storage.BrowserSession{
			Hash: storage.HashOf(secret), Issuer: ss.cfg.Issuer, Identity: id,
			CreatedAt: now, ExpiresAt: now.Add(Lifetime),
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
	return s, ss.cookies.Cookie(ss.cookies.session(), secret, Lifetime)
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
