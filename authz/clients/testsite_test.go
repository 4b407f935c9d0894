package clients

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

const (
	testIssuer        = "https://mcp.example.com"
	testTokenEndpoint = testIssuer + "/token"
	testRedirect      = "https://app.example/cb"
	testSecret        = "correct horse battery staple"
)

var testStart = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// testSite has a directory and an authenticator of one site, on a memory store.
type testSite struct {
	t         testing.TB
	config    siteConfig
	clock     *oauthtest.Clock
	store     *codeStore
	documents *DocumentCache
	limiter   *ratelimit.Limiter
	egress    *egress.Client
	events    *event.Recorder
	logs      *observer.ObservedLogs

	directory     *Directory
	authenticator *Authenticator
}

// siteConfig is the configuration of a site, and its clients.
type siteConfig struct {
	config.Site
	Clients []Client
}

// codeStore is a store that knows some codes.
type codeStore struct {
	*storetest.Faulty
	codes map[storage.Hash]storage.Code
}

func (s *codeStore) Code(_ context.Context, h storage.Hash, _ time.Time) (storage.Code, error) {
	if code, ok := s.codes[h]; ok {
		return code, nil
	}
	return storage.Code{}, storage.ErrNotFound
}

// newTestSite returns a site. Options change its configuration.
func newTestSite(t testing.TB, options ...func(*siteConfig)) *testSite {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	ts := &testSite{
		t: t, store: &codeStore{storetest.NewFaulty(memstore.New()), map[storage.Hash]storage.Code{}}, documents: newDocuments(),
		egress: egress.New(egress.Options{}), events: oauthtest.Events(zap.New(core)), logs: logs, clock: oauthtest.NewClock(testStart),
		config: siteConfig{Site: config.Site{Issuer: testIssuer, Registration: config.DefaultRegistration()}},
	}
	ts.limiter = ts.newLimiter()
	ts.reload(func(site *siteConfig) {
		for _, o := range options {
			o(site)
		}
	})
	return ts
}

// reload replaces the configuration, as an operator does, on the same store.
func (ts *testSite) reload(change func(*siteConfig)) {
	ts.t.Helper()
	registration := *ts.config.Registration
	ts.config.Registration = &registration
	change(&ts.config)
	keys, err := seal.NewKeyring([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		ts.t.Fatal(err)
	}
	preregistered := slices.Clone(ts.config.Clients)
	for i := range preregistered {
		if err := preregistered[i].Complete(config.DefaultRegistration().RedirectSchemes); err != nil {
			ts.t.Fatal(preregistered[i].ID, err)
		}
	}
	site := ts.config.Site
	ts.directory = NewDirectory(&site, preregistered, DirectoryDeps{
		Store: ts.store, Egress: ts.egress, Documents: ts.documents, Limiter: ts.limiter, Events: ts.events, Now: ts.clock.Now,
	})
	ts.authenticator = &Authenticator{
		Issuer: testIssuer, TokenEndpoint: testTokenEndpoint, Directory: ts.directory,
		Lookup: tokens.NewLookup(ts.store, tokens.NewRefreshTokens(keys, testIssuer), ts.clock.Now),
		Attempts: &ratelimit.Attempts{
			Issuer: testIssuer, Origins: site.Origins(), Limiter: ts.limiter,
			ClientIP: func(r *http.Request) string { return r.RemoteAddr }, Events: ts.events,
		},
		Store: ts.store, Now: ts.clock.Now,
	}
}

// newDocuments returns an empty cache of a machine that resolves names.
func newDocuments() *DocumentCache {
	c := NewDocumentCache()
	c.Resolves = func(context.Context, *egress.Client, string) bool { return true }
	return c
}

// newLimiter returns an empty limiter on the site's clock.
func (ts *testSite) newLimiter() *ratelimit.Limiter {
	limiter := ratelimit.New(1000)
	limiter.Now = ts.clock.Now
	return limiter
}

// lookup asks for a client as a stranger does.
func (ts *testSite) lookup(id string) (*Client, error) {
	return ts.lookupFrom(stranger.Address, id)
}

func (ts *testSite) lookupFrom(address, id string) (*Client, error) {
	return ts.directory.Lookup(ts.t.Context(), id, Requester{Address: address})
}

var stranger = Requester{Address: "192.0.2.1"}

// restart does what an operator does who starts the process anew: what is not
// stored is gone.
func (ts *testSite) restart() {
	ts.documents, ts.limiter = newDocuments(), ts.newLimiter()
	ts.reload(func(*siteConfig) {})
}

// stopLimits keeps what is counted from being forgotten with time.
func (ts *testSite) stopLimits() {
	ts.limiter.Now = func() time.Time { return testStart }
}

// allowLoopback lets the directory fetch documents from this machine, as in
// development.
func (ts *testSite) allowLoopback() {
	ts.egress = egress.New(egress.Options{Loopback: true})
	ts.reload(func(*siteConfig) {})
}

// register stores a client as the registration endpoint does, and returns its ID.
func (ts *testSite) register(metadata string) string {
	ts.t.Helper()
	var m oauth.ClientMetadata
	if err := json.Unmarshal([]byte(metadata), &m); err != nil {
		ts.t.Fatal(err)
	}
	if err := CompleteMetadata(&m, Registered, nil); err != nil {
		ts.t.Fatal(err)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		ts.t.Fatal(err)
	}
	c := storage.Client{ID: uuid.NewString(), Issuer: testIssuer, Metadata: raw, CreatedAt: ts.clock.Now(), ExpiresAt: ts.clock.Now().Add(24 * time.Hour)}
	if err := ts.store.CreateClient(ts.t.Context(), c, storage.Unused{Max: 1000}); err != nil {
		ts.t.Fatal(err)
	}
	return c.ID
}

// code returns a code that was issued to the client.
func (ts *testSite) code(clientID string) string {
	code := oauth.NewSecret(tokens.CodePrefix)
	ts.store.codes[storage.HashOf(code)] = storage.Code{Issuer: testIssuer, ClientID: clientID}
	return code
}

// advertised reports whether documents can be fetched, as far as is known.
func (ts *testSite) advertised() bool { return ts.directory.DocumentsFetchable(ts.t.Context()) }
