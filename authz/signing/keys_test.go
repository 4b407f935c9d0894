package signing

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

const (
	testIssuer = "https://mcp.example.com"
	day        = 24 * time.Hour
)

var testStart = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fixture is a store with a clock, and any number of instances on it.
type fixture struct {
	*testing.T
	store *countingStore
	clock *oauthtest.Clock
	logs  *observer.ObservedLogs
	log   *zap.Logger
}

// countingStore counts reads and can fail.
type countingStore struct {
	storage.AuthStore
	mu     sync.Mutex
	reads  int
	writes int
	err    error
}

func (s *countingStore) count(n *int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
	return s.err
}

func (s *countingStore) SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error) {
	if err := s.count(&s.reads); err != nil {
		return storage.SiteValue{}, err
	}
	return s.AuthStore.SiteValue(ctx, issuer, name, now)
}

func (s *countingStore) ReplaceSiteValue(ctx context.Context, v storage.SiteValue, replaces string, now time.Time) (storage.Verdict, error) {
	if err := s.count(&s.writes); err != nil {
		return storage.Unknown, err
	}
	return s.AuthStore.ReplaceSiteValue(ctx, v, replaces, now)
}

func newFixture(t *testing.T, store storage.AuthStore) *fixture {
	core, logs := observer.New(zapcore.DebugLevel)
	return &fixture{t, &countingStore{AuthStore: store}, oauthtest.NewClock(testStart), logs, zap.New(core)}
}

func ringOf(t testing.TB, keys ...byte) *seal.Keyring {
	t.Helper()
	var all [][]byte
	for _, k := range keys {
		all = append(all, bytes.Repeat([]byte{k}, seal.KeySize))
	}
	ring, err := seal.NewKeyring(all...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func siteOf(algorithm string, rotate time.Duration) *config.Site {
	return &config.Site{Issuer: testIssuer, Signing: &config.Signing{Algorithm: algorithm, Rotate: config.Duration(rotate)}}
}

// instance returns the keys as one more process has them.
func (f *fixture) instance(ring ...byte) *Keys { return f.with(siteOf("EdDSA", 90*day), ring...) }

func (f *fixture) with(cfg *config.Site, ring ...byte) *Keys {
	if len(ring) == 0 {
		ring = []byte{1}
	}
	return NewKeys(cfg, f.store, ringOf(f, ring...), f.log, f.clock.Now)
}

// signs signs something that is good for a while, and returns the key's id.
func (f *fixture) signs(k *Keys, good time.Duration) string {
	f.Helper()
	signed, err := k.Sign(f.Context(), "x+jwt", []byte(`{"a":1}`), f.clock.Now().Add(good))
	if err != nil {
		f.Fatal(err)
	}
	return f.verified(k, signed)
}

// verified returns the id of the published key that verifies.
func (f *fixture) verified(k *Keys, signed string) string {
	f.Helper()
	jws, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{EdDSA, ES256, RS256})
	if err != nil {
		f.Fatal(err)
	}
	header := jws.Signatures[0].Header
	if typ := header.ExtraHeaders[jose.HeaderType]; typ != "x+jwt" {
		f.Errorf("typ %v", typ)
	}
	keys := f.published(k).Key(header.KeyID)
	if len(keys) != 1 {
		f.Fatalf("%d published keys have the id %s", len(keys), header.KeyID)
	}
	if _, err := jws.Verify(keys[0]); err != nil {
		f.Fatal(err)
	}
	return header.KeyID
}

func (f *fixture) published(k *Keys) *jose.JSONWebKeySet {
	f.Helper()
	document, err := k.Published(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	set := new(jose.JSONWebKeySet)
	if err := json.Unmarshal(document, set); err != nil {
		f.Fatal(err)
	}
	for _, key := range set.Keys {
		if !key.IsPublic() || key.Use != "sig" || key.Algorithm == "" {
			f.Errorf("published: %+v", key)
		}
	}
	return set
}

func (f *fixture) publishes(k *Keys, want ...string) {
	f.Helper()
	var got []string
	for _, key := range f.published(k).Keys {
		got = append(got, key.KeyID)
	}
	if !slices.Equal(got, want) {
		f.Errorf("published %v, want %v", got, want)
	}
}

// at moves the clock to a time after the start.
func (f *fixture) at(after time.Duration) {
	f.clock.Advance(testStart.Add(after).Sub(f.clock.Now()))
}

// Instances that start at once agree on one key, whichever store keeps it.
func TestOneKeyForAllInstances(t *testing.T) {
	bolt, err := boltstore.Open(filepath.Join(t.TempDir(), "test.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bolt.Close() })
	for name, store := range map[string]storage.AuthStore{"memstore": memstore.New(), "boltstore": bolt} {
		t.Run(name, func(t *testing.T) { startAtOnce(t, store) })
	}
}

// startAtOnce starts many instances, which take turns with the stores.
func startAtOnce(t *testing.T, stores ...storage.AuthStore) {
	t.Helper()
	f := newFixture(t, stores[0])
	const racers = 32
	ids := make([]string, racers)
	var all sync.WaitGroup
	start := make(chan struct{})
	for n := range racers {
		instance := NewKeys(siteOf("EdDSA", 90*day), stores[n%len(stores)], ringOf(t, 1), f.log, f.clock.Now)
		all.Go(func() {
			<-start
			signed, err := instance.Sign(t.Context(), "x+jwt", []byte(`{}`), f.clock.Now().Add(time.Minute))
			if err != nil {
				t.Error(err)
				return
			}
			ids[n] = f.verified(instance, signed)
		})
	}
	close(start)
	all.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Fatalf("signed with %v", ids)
		}
	}
	if n := f.logs.FilterMessage("made a signing key").Len(); n != 1 {
		t.Errorf("%d keys were made, as the log says", n)
	}
}

func TestAlgorithms(t *testing.T) {
	for _, algorithm := range []string{"EdDSA", "ES256", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			f := newFixture(t, memstore.New())
			k := f.with(siteOf(algorithm, 90*day))
			f.signs(k, time.Minute)
			if got := f.published(k).Keys[0].Algorithm; got != algorithm {
				t.Errorf("published for %s", got)
			}
		})
	}
}

// A key is published a day before it signs, and as long as what it signed is good.
func TestRotation(t *testing.T) {
	f := newFixture(t, memstore.New())
	k, other := f.instance(), f.instance()
	first := f.signs(k, time.Minute)
	if got := f.signs(k, 30*day); got != first { // a long token
		t.Errorf("signed with %s", got)
	}
	f.at(89*day - freshFor)
	f.publishes(k, first)
	f.at(89 * day)
	second := f.published(k).Keys[1].KeyID
	f.publishes(k, first, second)
	f.clock.Advance(freshFor) // within which any other instance notices
	f.publishes(other, first, second)
	f.at(90*day - time.Second)
	if got := f.signs(other, time.Minute); got != first {
		t.Errorf("before its time signs %s", got)
	}
	f.at(90 * day)
	for _, instance := range []*Keys{k, other, f.instance()} {
		if got := f.signs(instance, time.Minute); got != second {
			t.Errorf("at its time signs %s, want %s", got, second)
		}
	}
	f.at(120*day + maxStale - time.Second) // until then the long token may be good
	f.publishes(k, first, second)
	f.at(120*day + maxStale)
	f.publishes(k, second)
}

// A key that what it signs outlives is kept for that, without a write each time.
func TestLongestIsRemembered(t *testing.T) {
	f := newFixture(t, memstore.New())
	k := f.instance()
	for range 10 {
		f.signs(k, time.Hour)
		f.signs(k, 30*day)
		f.clock.Advance(time.Second)
	}
	if f.store.writes != 2 {
		t.Errorf("%d writes, want one for the key and one for its long token", f.store.writes)
	}
	if f.store.reads != 1 {
		t.Errorf("%d reads in ten seconds", f.store.reads)
	}
}

// A site that nobody came to for years has a key for the next day all the same.
func TestOverdue(t *testing.T) {
	f := newFixture(t, memstore.New())
	k := f.instance()
	first := f.signs(k, time.Minute)
	f.at(1000 * day)
	if got := f.signs(k, time.Minute); got != first {
		t.Errorf("signs with %s, which nobody can know", got)
	}
	second := f.published(k).Keys[1].KeyID
	f.at(1001 * day)
	if got := f.signs(k, time.Minute); got != second {
		t.Errorf("signs with %s, want %s", got, second)
	}
}

// A new algorithm takes effect at once; the former key stays until the last
// instance has the new configuration, and its tokens have ended.
func TestAlgorithmIsChanged(t *testing.T) {
	f := newFixture(t, memstore.New())
	before, after := f.instance(), f.with(siteOf("ES256", 90*day))
	first := f.signs(before, time.Hour)
	second := f.signs(after, time.Hour)
	if first == second {
		t.Fatal("signed with the key of the former algorithm")
	}
	f.clock.Advance(freshFor)
	if got := f.signs(before, time.Hour); got != first {
		t.Errorf("an instance that was not reloaded signs with %s", got)
	}
	f.publishes(before, first, second)
	f.at(day + time.Hour + maxStale + freshFor)
	f.publishes(after, second)
}

// While the store fails, known keys are good for a while, and then nothing is.
func TestStoreFails(t *testing.T) {
	f := newFixture(t, memstore.New())
	k, cold := f.instance(), f.instance()
	first := f.signs(k, time.Hour)
	f.store.err = errors.New("down")
	if _, err := cold.Sign(t.Context(), "x+jwt", nil, f.clock.Now()); !errors.Is(err, f.store.err) {
		t.Errorf("without a key: %v", err)
	}
	f.clock.Advance(maxStale - time.Second)
	reads := f.store.reads
	for range 10 {
		if got := f.signs(k, time.Hour); got != first {
			t.Errorf("signed with %s", got)
		}
	}
	if got := f.store.reads - reads; got != 1 {
		t.Errorf("a store that is down was asked %d times at once", got)
	}
	f.clock.Advance(time.Second)
	if _, err := k.Sign(t.Context(), "x+jwt", nil, f.clock.Now()); !errors.Is(err, f.store.err) {
		t.Errorf("after %v: %v", maxStale, err)
	}
	f.store.err = nil
	if got := f.signs(k, time.Hour); got != first {
		t.Errorf("signed with %s", got)
	}
}

// A lost encryption key is said in words, and nothing is replaced: another
// instance may have it.
func TestLostEncryptionKey(t *testing.T) {
	f := newFixture(t, memstore.New())
	first := f.signs(f.instance(1), time.Hour)
	wrong := f.instance(2)
	_, err := wrong.Sign(t.Context(), "x+jwt", nil, f.clock.Now())
	if !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), "configure that key again") {
		t.Errorf("sign: %v", err)
	}
	if _, err := wrong.Published(t.Context()); !errors.Is(err, ErrSealed) {
		t.Errorf("published: %v", err)
	}
	if got := f.signs(f.instance(1), time.Hour); got != first {
		t.Errorf("signed with %s", got)
	}
	if err := wrong.Renew(t.Context()); err != nil { // which an operator decides
		t.Fatal(err)
	}
	if got := f.signs(wrong, time.Hour); got == first {
		t.Error("the former key signs")
	}
}

// With a new encryption key in front, the signing keys are sealed with it, so
// that the former one can be removed.
func TestSealedAnew_M03(t *testing.T) {
	f := newFixture(t, memstore.New())
	first := f.signs(f.instance(1), time.Hour)
	for _, ring := range [][]byte{{2, 1}, {2}} {
		if got := f.signs(f.instance(ring...), time.Hour); got != first {
			t.Errorf("with ring %v signed with %s", ring, got)
		}
	}
	if f.store.writes != 2 {
		t.Errorf("%d writes", f.store.writes)
	}
}

// A leaked key is replaced at once.
func TestRenew(t *testing.T) {
	f := newFixture(t, memstore.New())
	k, other := f.instance(), f.instance()
	first := f.signs(k, time.Hour)
	f.signs(other, time.Hour)
	if err := k.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := f.signs(k, time.Hour)
	if first == second {
		t.Fatal("the former key signs")
	}
	f.publishes(k, second)
	f.clock.Advance(freshFor)
	if got := f.signs(other, time.Hour); got != second {
		t.Errorf("the other instance signs with %s", got)
	}
}

// The private key is in no log line, no error, and nowhere in clear in the store.
func TestPrivateKeyIsNeverSeen(t *testing.T) {
	f := newFixture(t, memstore.New())
	k := f.instance()
	f.signs(k, time.Hour)
	private, err := json.Marshal(k.known.Keys[0].JWK)
	if err != nil {
		t.Fatal(err)
	}
	var jwk struct {
		D string `json:"d"`
	}
	if err := json.Unmarshal(private, &jwk); err != nil || len(jwk.D) < 40 {
		t.Fatalf("%v, %d characters", err, len(jwk.D))
	}
	raw, err := base64.RawURLEncoding.DecodeString(jwk.D)
	if err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(freshFor)
	f.store.err = errors.New("down")
	f.signs(k, time.Hour)
	f.store.err = nil
	v, err := f.store.SiteValue(t.Context(), testIssuer, siteValue, f.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	stored, err := base64.RawURLEncoding.DecodeString(v.Text)
	if err != nil {
		t.Fatal(err)
	}
	seen := string(stored)
	for _, entry := range f.logs.All() {
		line, err := json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		seen += string(line)
		for _, field := range entry.Context {
			seen += field.String
		}
	}
	if f.logs.Len() < 2 {
		t.Errorf("%d log lines", f.logs.Len())
	}
	if strings.Contains(seen, jwk.D) || strings.Contains(seen, string(raw)) {
		t.Error("the private key is seen")
	}
}

// A value that was moved from another site's place, or changed, is not believed.
func TestForeignKeys_M02(t *testing.T) {
	f := newFixture(t, memstore.New())
	f.signs(f.instance(), time.Hour)
	v, err := f.store.SiteValue(t.Context(), testIssuer, siteValue, f.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	other := siteOf("EdDSA", 90*day)
	other.Issuer = "https://other.example.com"
	moved := v
	moved.Issuer = other.Issuer
	if err := f.store.PutSiteValue(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if _, err := f.with(other).Published(t.Context()); !errors.Is(err, ErrSealed) {
		t.Errorf("another site's: %v", err)
	}
	v.Text = "%"
	if err := f.store.PutSiteValue(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if _, err := f.instance().Published(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("damaged: %v", err)
	}
}
