package accounts

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// vaultStore counts reads and fails on demand.
type vaultStore struct {
	storage.Store
	mu    sync.Mutex
	reads int
	// failPuts is how many of the next calls of PutConnection fail; losePuts
	// how many do their work and then say that they failed.
	failPuts, losePuts int
	down               bool
	away               bool // down, in a way that lets what was read go on
	// afterRead runs once, between reading a connection and returning it.
	afterRead func()
}

var errStore = errors.New("the disk is on fire")

var errAway = &storage.UnreachableError{StaleFor: 30 * time.Second, Cause: errors.New("refused")}

func (s *vaultStore) Connection(ctx context.Context, k storage.ConnectionKey, now time.Time) (storage.Connection, error) {
	s.mu.Lock()
	s.reads++
	down, away, afterRead := s.down, s.away, s.afterRead
	s.afterRead = nil
	s.mu.Unlock()
	if away {
		return storage.Connection{}, errAway
	}
	if down {
		return storage.Connection{}, errStore
	}
	c, err := s.Store.Connection(ctx, k, now)
	if afterRead != nil {
		afterRead()
	}
	return c, err
}

func (s *vaultStore) ConnectionsOf(ctx context.Context, issuer, owner string, now time.Time) ([]storage.Connection, error) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down {
		return nil, errStore
	}
	return s.Store.ConnectionsOf(ctx, issuer, owner, now)
}

func (s *vaultStore) PutConnection(ctx context.Context, c storage.Connection, now time.Time) (storage.Connection, storage.Verdict, error) {
	return s.putting(func() (storage.Connection, storage.Verdict, error) { return s.Store.PutConnection(ctx, c, now) })
}

func (s *vaultStore) ReplaceConnection(ctx context.Context, c storage.ConnectionReplacement, now time.Time) (storage.Connection, storage.Verdict, error) {
	return s.putting(func() (storage.Connection, storage.Verdict, error) { return s.Store.ReplaceConnection(ctx, c, now) })
}

// putting makes what stores a connection fail, or lose its answer, on demand.
func (s *vaultStore) putting(put func() (storage.Connection, storage.Verdict, error)) (storage.Connection, storage.Verdict, error) {
	s.mu.Lock()
	fail, lose := s.failPuts > 0, s.losePuts > 0
	if fail {
		s.failPuts--
	} else if lose {
		s.losePuts--
	}
	s.mu.Unlock()
	if fail {
		return storage.Connection{}, storage.Unknown, errStore
	}
	stored, verdict, err := put()
	if lose && err == nil {
		return storage.Connection{}, storage.Unknown, errStore
	}
	return stored, verdict, err
}

func (s *vaultStore) countReads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// vault is an instance of the gateway with two servers of one provider, and
// with one for pasted keys.
type vaultInstance struct {
	*Broker
	t        testing.TB
	provider *oauthtest.Provider
	// server is where all servers are. It refuses every credential, unless a
	// test has it answer otherwise.
	server *oauthtest.Host
	store  *vaultStore
	clock  *oauthtest.Clock
	logs   *observer.ObservedLogs
}

func newVault(t testing.TB) *vaultInstance {
	t.Helper()
	v := &vaultInstance{
		t: t, provider: oauthtest.NewProvider(t), server: oauthtest.NewHost(t), store: &vaultStore{Store: memstore.New()},
		clock: oauthtest.NewClock(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)),
	}
	v.provider.Now = v.clock.Now
	v.serverAnswers(http.StatusUnauthorized)
	return v.instance()
}

// instance returns another instance on the same store, or the same one after
// a restart.
func (v *vaultInstance) instance() *vaultInstance {
	v.t.Helper()
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		v.t.Fatal(err)
	}
	server := func(id string, mode config.Mode) *config.Server {
		return &config.Server{ID: id, Title: id, Upstream: v.server.URL + "/mcp", Auth: &config.Auth{
			Resource: "https://" + id + ".example/mcp", Mode: mode, ClientID: "gateway",
			Issuer: v.provider.URL, AuthorizationEndpoint: v.provider.URL + "/authorize",
			TokenEndpoint: v.provider.URL + "/token", RevocationEndpoint: v.provider.URL + "/revoke",
		}}
	}
	keyed := &config.Server{ID: "keyed", Title: "keyed", Upstream: v.server.URL + "/mcp", Auth: &config.Auth{
		Mode: config.PerUserHeaders, Headers: []config.AuthHeader{{Name: "X-API-Key"}},
	}}
	core, logs := observer.New(zapcore.DebugLevel)
	other := *v
	other.logs = logs
	other.Broker = New(testSite(
		server("notion", config.PerUserOAuth), server("github", config.PerUserOAuth), server("shared", config.OAuth), keyed, &config.Server{ID: "open"},
	), Deps{
		Store: v.store, Keys: keys, Egress: egress.New(egress.Options{}), Operator: egress.New(egress.Options{Anywhere: true}),
		Shared: NewShared(), Events: event.NewRecorder(event.Options{Now: v.clock.Now}, event.NewLog(zap.New(core))), Now: v.clock.Now,
	})
	other.Broker.refresher.pause = func(ctx context.Context, d time.Duration) error {
		v.clock.Advance(d)
		return ctx.Err()
	}
	other.Broker.connections.pause = other.Broker.refresher.pause
	notion := other.servers["notion"].Auth
	notion.Accounts, notion.MaxAccounts = config.SeveralAccounts, new(3)
	v.t.Cleanup(other.deps.Shared.Close)
	return &other
}

// serverAnswers has the servers answer everything with a status.
func (v *vaultInstance) serverAnswers(status int) {
	v.server.Page("/mcp", func(w http.ResponseWriter, r *http.Request) {
		if status == http.StatusUnauthorized {
			v.provider.Expire(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		}
		oauthtest.Answer(status, "text/plain", oauthtest.Canary)(w, r)
	})
}

// connectAs gives the owner a connection, as a request does.
func (v *vaultInstance) connectAs(owner, server string, change ...func(*storage.Connection, *secrets)) string {
	v.t.Helper()
	access, refresh := v.provider.Issue(owner + " " + server)
	s := v.site.server(server)
	now := v.clock.Now()
	c := storage.ConnectionReplacement{Connection: storage.Connection{ConnectionKey: v.keyOf(owner, server), Provider: v.provider.URL, Scopes: []string{"read", "write"}, TokenExpiresAt: now.Add(time.Hour)}}
	provider := &client.Provider{Resource: resourceOf(s), ServerMetadata: oauth.ServerMetadata{
		Issuer: v.provider.URL, TokenEndpoint: s.Auth.TokenEndpoint, RevocationEndpoint: s.Auth.RevocationEndpoint,
	}}
	opened := secrets{
		AccessToken: access, RefreshToken: refresh, IssuedAt: now,
		Binding: bind(s, provider, &client.Credentials{ID: "gateway", AuthMethod: oauth.AuthNone}, nil),
	}
	for _, f := range change {
		f(&c.Connection, &opened)
	}
	if opened.Person != "" {
		opened.Replaces = v.has(opened.Person, server)
	}
	if err := v.save(v.t.Context(), c, storage.Authentication{}, v.seen(c.ConnectionKey), opened); err != nil {
		v.t.Fatal(err)
	}
	return access
}

// has returns the ID of the owner's connection, if there is one.
func (v *vaultInstance) has(owner, server string) string {
	v.t.Helper()
	c, err := v.find(v.t.Context(), v.keyOf(owner, server))
	if err != nil {
		v.t.Fatal(err)
	}
	return c.ID
}

// seen is what there is now, as when somebody begins to connect.
func (v *vaultInstance) seen(k storage.ConnectionKey) snapshot {
	v.t.Helper()
	last, err := v.store.LastDisconnect(v.t.Context(), k)
	if err != nil {
		v.t.Fatal(err)
	}
	return snapshot{Connection: v.has(k.Owner, k.Server), Disconnect: last}
}

func withoutRefresh(_ *storage.Connection, s *secrets)    { s.RefreshToken = "" }
func withoutExpiry(c *storage.Connection, _ *secrets)     { c.TokenExpiresAt = time.Time{} }
func withoutRevocation(_ *storage.Connection, s *secrets) { s.Binding.RevocationEndpoint = "" }

// call returns the credential of a call, which must be the owner's.
func (v *vaultInstance) call(owner, server string) (string, error) {
	v.t.Helper()
	c, err := v.Credential(v.t.Context(), owner, server)
	return v.judge(owner, server, c), err
}

// refusedAt tells that the upstream refused a token.
func (v *vaultInstance) refusedAt(owner, server, token string) (string, error) {
	v.t.Helper()
	c, err := v.Refused(v.t.Context(), owner, server, bearer(token))
	return v.judge(owner, server, c), err
}

func (v *vaultInstance) judge(owner, server string, c *Credential) string {
	v.t.Helper()
	if c == nil {
		return ""
	}
	if got := v.accountOf(c); got != owner+" "+server {
		v.t.Errorf("a call of %s to %s carries a token of %q", owner, server, got)
	}
	return c.Headers[0].Value[len("Bearer "):]
}

func bearer(token string) *Credential {
	return &Credential{Headers: []CredentialHeader{{Name: "Authorization", Value: "Bearer " + token}}}
}

func (v *vaultInstance) record(owner, server string) storage.Connection {
	v.t.Helper()
	c, err := v.store.Store.Connection(v.t.Context(), v.keyOf(owner, server), v.clock.Now())
	if err != nil {
		v.t.Fatal(err)
	}
	return c
}

func (v *vaultInstance) wantState(owner, server string, want storage.ConnectionState) {
	v.t.Helper()
	if got := v.record(owner, server).State; got != want {
		v.t.Errorf("the connection is %s, want %s", got, want)
	}
}

func (v *vaultInstance) wantCall(owner, server, want string, wantErr error) {
	v.t.Helper()
	got, err := v.call(owner, server)
	if got != want || !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
		v.t.Errorf("the call carries %q, error %v; want %q, %v", got, err, want, wantErr)
	}
}

// refreshed waits for a refresh that goes on in the background.
func (v *vaultInstance) refreshed(owner, server string) {
	v.t.Helper()
	select {
	case <-v.provider.Refreshed():
	case <-time.After(oauthtest.Patience):
		v.t.Fatalf("%d refreshes, want one more", len(v.provider.Refreshes()))
	}
	v.landed(owner, server)
	for len(v.provider.Refreshed()) > 0 {
		<-v.provider.Refreshed()
	}
}

// landed waits until no flight can be joined any more.
func (v *vaultInstance) landed(owner, server string) {
	_, _, _ = v.deps.Shared.flights.Do(flightKey(v.keyOf(owner, server)), func() (any, error) { return nil, nil })
}

// accountOf returns whose access token a credential carries.
func (v *vaultInstance) accountOf(c *Credential) string {
	if c == nil || len(c.Headers) != 1 || c.Headers[0].Name != "Authorization" {
		return ""
	}
	return v.provider.AccountOf(strings.TrimPrefix(c.Headers[0].Value, "Bearer "))
}

// wantNoneReusedEarly checks that no refresh token was sent twice while its
// access token worked.
func (v *vaultInstance) wantNoneReusedEarly() {
	v.t.Helper()
	if got := v.provider.ReusedEarly(); len(got) > 0 {
		v.t.Errorf("refresh tokens %v were sent twice, want none", got)
	}
}

// logged reports whether the log has the cause.
func (v *vaultInstance) logged(cause error) bool {
	return slices.ContainsFunc(v.logs.All(), func(e observer.LoggedEntry) bool { return e.ContextMap()["error"] == cause.Error() })
}
