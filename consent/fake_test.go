package consent

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const testKey = "vk-3f2b9a-canary"

// Paths of the forms of a flow.
const (
	keyPath       = authz.ConsentFormsPath + "vk"
	userIDPath    = authz.ConsentFormsPath + "user-id"
	anonymousPath = authz.ConsentFormsPath + "skip"
	caddyPath     = authz.ConsentFormsPath + "caddy"
)

// signInWith returns all ways to sign in, one of them with the keys.
func signInWith(keys ...identity.Key) identity.Methods {
	return identity.Methods{
		identity.ByVirtualKey(identity.NewVirtualKeys(keys...)), identity.ByUserID(), identity.ByCaddy(0), identity.Anonymously(),
	}
}

// fakeFlows is an authorization server with one flow, "sealed".
type fakeFlows struct {
	cfg     config.Site
	flow    authz.Flow
	servers []*config.Server
	err     error // of every method
	*fakeAccounts

	submitErr error
	limited   bool

	approved  []string // resources
	connected []string
	denied    bool
	opened    int
}

func newFake() *fakeFlows {
	servers := []*config.Server{{
		ID: "notion", Title: "Notion", Path: "/mcp/notion", Resource: "https://mcp.example.com/mcp/notion",
		Scopes: []string{"mcp:use"}, OptionalScopes: []string{"pages:write"},
	}, {
		ID: "github", Path: "/mcp/github", Resource: "https://mcp.example.com/mcp/github", Scopes: []string{"mcp:use"},
	}}
	return &fakeFlows{
		fakeAccounts: &fakeAccounts{servers: servers},
		cfg: config.Site{
			Issuer:    "https://mcp.example.com",
			Servers:   servers,
			SignIn:    signInWith(identity.Key{Name: "team-a", Hash: storage.HashOf(testKey)}),
			Scopes:    []config.Scope{{Name: "pages:write", Description: "Change pages"}},
			Lifetimes: config.DefaultLifetimes,
		},
		servers: servers,
		flow: authz.Flow{
			SealedID: "sealed", ID: "flow-1", RedirectURI: "https://app.example/cb", State: "state-of-the-client",
			Client:    &authz.Client{ID: "client-1", Origin: authz.Registered, Metadata: oauth.ClientMetadata{ClientName: "Cursor"}},
			Scope:     []string{"mcp:use", "pages:write"},
			ExpiresAt: time.Now().Add(time.Minute), CSRFToken: "csrf-1",
		},
	}
}

func (s *fakeFlows) Config() *config.Site { return &s.cfg }

// OpenFlow checks what the real one checks, in the order it does.
func (s *fakeFlows) OpenFlow(r *http.Request, flowID string) (*authz.Flow, error) {
	s.opened++
	if s.err != nil {
		return nil, s.err
	}
	if flowID != s.flow.SealedID {
		return nil, authz.ErrFlowInvalid
	}
	if cookies := r.CookiesNamed("flow"); len(cookies) != 1 || cookies[0].Value != "browser-1" {
		return nil, authz.ErrFlowOtherBrowser
	}
	if r.Method == http.MethodPost && r.PostForm.Get("csrf_token") != s.flow.CSRFToken {
		return nil, authz.ErrForged
	}
	f := s.flow
	return &f, nil
}

func (s *fakeFlows) Servers(*authz.Flow) []*config.Server     { return s.servers }
func (s *fakeFlows) AllowWrongKey(*http.Request, string) bool { return !s.limited }

func (s *fakeFlows) AllowPastedKey(*http.Request, string) bool { return !s.limited }

func (s *fakeFlows) AllowUnproved(*http.Request) bool { return !s.limited }

func (s *fakeFlows) AllowConnect(r *http.Request, who string) bool { return !s.limited }

func (s *fakeFlows) Identify(_ context.Context, _ *authz.Flow, id storage.Identity) error {
	s.flow.Identity = &id
	return s.err
}

func (s *fakeFlows) Approve(_ context.Context, f *authz.Flow, a authz.Approval) (string, error) {
	if s.submitErr != nil {
		return "", s.submitErr
	}
	s.approved, s.connected = a.Resources, a.Connected
	return f.RedirectURI + "?code=c&state=s", nil
}

func (s *fakeFlows) ApproveAndSignIn(w http.ResponseWriter, r *http.Request, f *authz.Flow, a authz.Approval) (string, error) {
	url, err := s.Approve(r.Context(), f, a)
	if err != nil {
		return "", err
	}
	return url, s.SignIn(w, r, *f.Identity)
}

func (s *fakeFlows) Deny(_ context.Context, f *authz.Flow) (string, error) {
	s.denied = true
	return f.RedirectURI + "?error=access_denied&state=s", nil
}

// site serves the pages of the fake and remembers what was logged.
type site struct {
	*fakeFlows
	broker *fakeBroker // nil if there is nothing to connect
	mux    *http.ServeMux
	logs   *observer.ObservedLogs
	user   string // of another handler
}

func newSite(t *testing.T, fake *fakeFlows) *site {
	t.Helper()
	return newSiteWith(t, fake, nil)
}

// newSiteWith serves a site where people connect what the broker knows.
func newSiteWith(t *testing.T, fake *fakeFlows, b *fakeBroker) *site {
	t.Helper()
	p, err := pages.New(pages.Brand{Name: "Example"})
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	s := &site{fakeFlows: fake, broker: b, mux: http.NewServeMux(), logs: logs}
	c := newConsent(fake, nil, nil, p, zap.New(core), nil)
	if b != nil {
		c = newConsent(fake, b, nil, p, zap.New(core), nil)
	}
	for _, route := range c.Routes() {
		s.mux.Handle(route.Path, route.Handler)
	}
	return s
}

// identified puts a person behind the flow.
func (s *site) identified(id storage.Identity) *site {
	s.flow.Identity = &id
	return s
}

func (s *site) do(r *http.Request) *httptest.ResponseRecorder {
	if s.user != "" {
		r = r.WithContext(identity.WithUser(r.Context(), s.user))
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}

func (s *site) get(target string) *httptest.ResponseRecorder { return s.do(getRequest(target)) }

// post sends a form as our page would.
func (s *site) post(path string, more ...string) *httptest.ResponseRecorder {
	return s.do(postRequest(path, more...))
}

func getRequest(target string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.AddCookie(&http.Cookie{Name: "flow", Value: "browser-1"})
	return r
}

// postRequest returns a good form, with name and value pairs that replace or add.
func postRequest(path string, more ...string) *http.Request {
	form := url.Values{"flow_id": {"sealed"}, "csrf_token": {"csrf-1"}}
	for i := 0; i < len(more); i += 2 {
		form[more[i]] = append([]string(nil), more[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(&http.Cookie{Name: "flow", Value: "browser-1"})
	return r
}

var hiddenIdentity = regexp.MustCompile(`name="identity" value="([^"]+)"`)

// shownIdentity returns what a page's form says of whom it showed.
func shownIdentity(t *testing.T, page string) string {
	t.Helper()
	found := hiddenIdentity.FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("no identity on the page:\n%s", page)
	}
	return found[1]
}

func userIdentity(user string) storage.Identity {
	id, _ := identity.FromContext(identity.WithUser(context.Background(), user))
	return id
}

func alice() storage.Identity {
	return storage.Identity{Kind: "user_id", Subject: "user_id:alice", Name: "alice"}
}
