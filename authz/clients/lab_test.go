package clients

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
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
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

const (
	labIssuer   = "https://mcp.example.com"
	labToken    = labIssuer + "/token"
	labRedirect = "https://app.example/cb"
	labSecret   = "correct horse battery staple"
)

var labStart = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// lab has a directory and an authenticator of one site, on a memory store.
type lab struct {
	t         testing.TB
	site      labSite
	store     *labStore
	documents *DocumentCache
	limiter   *ratelimit.Limiter
	egress    *egress.Client
	logger    *zap.Logger
	logs      *observer.ObservedLogs

	directory     *Directory
	authenticator *Authenticator

	mu  sync.Mutex
	now time.Time
}

// labSite is the configuration of a site, and its clients.
type labSite struct {
	config.Site
	Clients []Client
}

// labStore is a store that knows some codes.
type labStore struct {
	*storetest.Faulty
	codes map[storage.Hash]storage.Code
}

func (s *labStore) Code(_ context.Context, h storage.Hash, _ time.Time) (storage.Code, error) {
	if code, ok := s.codes[h]; ok {
		return code, nil
	}
	return storage.Code{}, storage.ErrNotFound
}

// newLab returns a lab. Options change its configuration.
func newLab(t testing.TB, options ...func(*labSite)) *lab {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	l := &lab{
		t: t, store: &labStore{storetest.NewFaulty(memstore.New()), map[storage.Hash]storage.Code{}}, documents: labDocuments(),
		egress: egress.New(egress.Options{}), logger: zap.New(core), logs: logs, now: labStart,
		site: labSite{Site: config.Site{Issuer: labIssuer, Registration: config.DefaultRegistration()}},
	}
	l.limiter = l.newLimiter()
	l.reload(func(site *labSite) {
		for _, o := range options {
			o(site)
		}
	})
	return l
}

// reload replaces the configuration, as an operator does, on the same store.
func (l *lab) reload(change func(*labSite)) {
	l.t.Helper()
	registration := *l.site.Registration
	l.site.Registration = &registration
	change(&l.site)
	keys, err := seal.NewKeyring([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		l.t.Fatal(err)
	}
	preregistered := slices.Clone(l.site.Clients)
	for i := range preregistered {
		if err := preregistered[i].Complete(config.DefaultRegistration().RedirectSchemes); err != nil {
			l.t.Fatal(preregistered[i].ID, err)
		}
	}
	site := l.site.Site
	l.directory = NewDirectory(&site, preregistered, DirectoryDeps{
		Store: l.store, Egress: l.egress, Documents: l.documents, Limiter: l.limiter, Logger: l.logger, Now: l.time,
	})
	l.authenticator = &Authenticator{
		Issuer: labIssuer, TokenEndpoint: labToken, Directory: l.directory,
		Lookup: tokens.NewLookup(l.store, tokens.NewRefreshTokens(keys, labIssuer), l.time),
		Attempts: &ratelimit.Attempts{
			Issuer: labIssuer, Origins: site.Origins(), Limiter: l.limiter,
			ClientIP: func(r *http.Request) string { return r.RemoteAddr }, Logger: l.logger,
		},
		Store: l.store, Now: l.time,
	}
}

// labDocuments returns an empty cache of a machine that resolves names.
func labDocuments() *DocumentCache {
	c := NewDocumentCache()
	c.Resolves = func(context.Context, *egress.Client, string) bool { return true }
	return c
}

// newLimiter returns an empty limiter on the lab's clock.
func (l *lab) newLimiter() *ratelimit.Limiter {
	limiter := ratelimit.New(1000)
	limiter.Now = l.time
	return limiter
}

func (l *lab) time() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *lab) advance(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

// lookup asks for a client as a stranger does.
func (l *lab) lookup(id string) (*Client, error) {
	return l.lookupFrom(stranger.Address, id)
}

func (l *lab) lookupFrom(address, id string) (*Client, error) {
	return l.directory.Lookup(l.t.Context(), id, Requester{Address: address})
}

var stranger = Requester{Address: "192.0.2.1"}

// restart does what an operator does who starts the process anew: what is not
// stored is gone.
func (l *lab) restart() {
	l.documents, l.limiter = labDocuments(), l.newLimiter()
	l.reload(func(*labSite) {})
}

// stopLimits keeps what is counted from being forgotten with time.
func (l *lab) stopLimits() {
	l.limiter.Now = func() time.Time { return labStart }
}

// allowLoopback lets the directory fetch documents from this machine, as in
// development.
func (l *lab) allowLoopback() {
	l.egress = egress.New(egress.Options{Loopback: true})
	l.reload(func(*labSite) {})
}

// register stores a client as the registration endpoint does, and returns its ID.
func (l *lab) register(metadata string) string {
	l.t.Helper()
	var m oauth.ClientMetadata
	if err := json.Unmarshal([]byte(metadata), &m); err != nil {
		l.t.Fatal(err)
	}
	if err := CompleteMetadata(&m, Registered, nil); err != nil {
		l.t.Fatal(err)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		l.t.Fatal(err)
	}
	c := storage.Client{ID: uuid.NewString(), Issuer: labIssuer, Metadata: raw, CreatedAt: l.time(), ExpiresAt: l.time().Add(24 * time.Hour)}
	if err := l.store.CreateClient(l.t.Context(), c, storage.Unused{Max: 1000}); err != nil {
		l.t.Fatal(err)
	}
	return c.ID
}

// code returns a code that was issued to the client.
func (l *lab) code(clientID string) string {
	code := oauth.NewSecret(tokens.CodePrefix)
	l.store.codes[storage.HashOf(code)] = storage.Code{Issuer: labIssuer, ClientID: clientID}
	return code
}

// advertised reports whether documents can be fetched, as far as is known.
func (l *lab) advertised() bool { return l.directory.DocumentsFetchable(l.t.Context()) }
