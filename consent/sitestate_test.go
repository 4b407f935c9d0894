package consent

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// openFlow returns the flow as it is, or an error once it has ended.
func (s *site) openFlow() (*flows.Flow, error) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(s.flow)
	return s.as.Flows.Open(r, s.flowID)
}

// mustOpenFlow returns the flow, which has not ended.
func (s *site) mustOpenFlow() *flows.Flow {
	s.t.Helper()
	f, err := s.openFlow()
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// identity returns the person behind the flow, or nil.
func (s *site) identity() *storage.Identity {
	if f, err := s.openFlow(); err == nil {
		return f.Identity
	}
	return nil
}

// identified puts a person behind the flow.
func (s *site) identified(id storage.Identity) *site {
	s.t.Helper()
	if err := s.as.Flows.Identify(s.t.Context(), s.mustOpenFlow(), id); err != nil {
		s.t.Fatal(err)
	}
	return s
}

// granted returns what was approved: the servers, and those that are connected.
func (s *site) granted() (resources, connected []string) {
	s.t.Helper()
	grants, _, err := s.store.Grants(s.t.Context(), "", 100, s.clock.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, g := range grants {
		resources = append(resources, g.Resources...)
		for _, server := range s.as.Config().Servers {
			if slices.Contains(g.Scope, oauth.ConnectScope(server.ID)) {
				connected = append(connected, server.ID)
			}
		}
	}
	return resources, connected
}

// decided reports whether the flow has ended.
func (s *site) decided() bool {
	_, err := s.openFlow()
	return err != nil
}

// sessionCookie is that of the browser.
func (s *site) sessionCookie() *http.Cookie {
	name := "mcp_browser"
	if isHTTPS(s.as.Config().Issuer) {
		name = "__Host-" + name
	}
	return &http.Cookie{Name: name, Value: s.session}
}

// openSession returns the browser's session.
func (s *site) openSession() *sessions.Session {
	s.t.Helper()
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	if s.session != "" {
		r.AddCookie(s.sessionCookie())
	}
	session, err := s.as.Sessions.Open(w, r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.keepSession(w)
	return session
}

// keepSession keeps the cookie of the browser that an answer sets.
func (s *site) keepSession(w *httptest.ResponseRecorder) {
	for _, c := range w.Result().Cookies() {
		if c.Name == s.sessionCookie().Name {
			s.session = c.Value
		}
	}
}

// person returns who is signed in, or nil.
func (s *site) person() *storage.Identity { return s.openSession().Identity }

// signedIn signs somebody in.
func (s *site) signedIn(id storage.Identity) *site {
	s.t.Helper()
	w := httptest.NewRecorder()
	if _, err := s.as.Sessions.SignIn(w, httptest.NewRequest(http.MethodPost, "/", nil), signsIn{id, s.store}); err != nil {
		s.t.Fatal(err)
	}
	s.keepSession(w)
	return s
}

// approved stores grants.
func (s *site) approved(grants ...storage.Grant) {
	s.t.Helper()
	for _, g := range grants {
		g.Issuer, g.ExpiresAt, g.AbsoluteExpiresAt = s.as.Config().Issuer, s.clock.Now().Add(time.Duration(config.DefaultLifetimes.GrantLifetime)), s.clock.Now().Add(time.Duration(config.DefaultLifetimes.GrantLifetime))
		flow := storage.Flow{ID: "flow of " + g.ID, Issuer: g.Issuer, Identity: g.Identity, ExpiresAt: g.ExpiresAt}
		if v, err := s.store.SaveFlow(s.t.Context(), flow, s.clock.Now()); err != nil || v != storage.OK {
			s.t.Fatalf("got %v, error %v; want %v", v, err, storage.OK)
		}
		v, err := s.store.SubmitFlow(s.t.Context(), storage.Submission{
			FlowID: flow.ID, Issuer: g.Issuer, Identity: g.Identity, Grant: &g, Now: s.clock.Now(),
			Code: &storage.Code{Hash: storage.HashOf("code of " + g.ID), GrantID: g.ID, Issuer: g.Issuer, ClientID: g.ClientID, ExpiresAt: g.ExpiresAt},
		})
		if err != nil || v != storage.OK {
			s.t.Fatalf("got %v, error %v; want %v", v, err, storage.OK)
		}
	}
}

// grantsOf returns the IDs of what somebody approved and did not take back.
func (s *site) grantsOf(id storage.Identity) []string {
	s.t.Helper()
	grants, err := s.as.Grants.List(s.t.Context(), id.Subject)
	if err != nil {
		s.t.Fatal(err)
	}
	var ids []string
	for _, g := range grants {
		ids = append(ids, g.ID)
	}
	return ids
}

// exhausted uses up what may be tried from the address of the browser.
func (s *site) exhausted() *site {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	for _, allow := range []func() bool{
		func() bool { return s.as.Attempts.AllowWrongSignIn(r, "") }, func() bool { return s.as.Attempts.AllowPastedKey(r, "") },
		func() bool { return s.as.Attempts.AllowUnproved(r) }, func() bool { return s.as.Attempts.AllowConnect(r, "") },
	} {
		for allow() { //nolint:revive // counts
		}
	}
	return s
}

// owner owns what is connected in the flow.
func (s *site) owner() string { return storage.FlowOwner(s.mustOpenFlow().ID) }

// connected gives an owner a connection.
func (s *site) connected(owner, server string, state storage.ConnectionState, scopes ...string) {
	if owner == flowOwner {
		owner = s.owner()
	}
	s.broker.connected(owner, server, state, scopes...)
}

// wasSignedIn signs somebody in whom the site does not know any more.
func (s *site) wasSignedIn(id storage.Identity) {
	s.t.Helper()
	signIn, cookie := s.as.Sessions.Begin(httptest.NewRequest(http.MethodPost, "/", nil), id)
	if err := s.store.CreateBrowserSession(s.t.Context(), signIn); err != nil {
		s.t.Fatal(err)
	}
	s.session = cookie.Value
}

// signsIn is somebody who is known already: nothing is kept of them with their session.
type signsIn struct {
	id    storage.Identity
	store storage.SessionStore
}

func (k signsIn) Identity() storage.Identity { return k.id }

func (k signsIn) CreateBrowserSession(ctx context.Context, b storage.SignIn, cookie func(storage.Identity) storage.Hash) (storage.Identity, error) {
	b.Hash = cookie(k.id)
	return k.id, k.store.CreateBrowserSession(ctx, b)
}
