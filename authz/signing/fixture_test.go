package signing

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
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
	store  *countingStore
	clock  *oauthtest.Clock
	logs   *observer.ObservedLogs
	events *event.Recorder
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
	return &fixture{t, &countingStore{AuthStore: store}, oauthtest.NewClock(testStart), logs, event.NewRecorder(event.Options{Now: time.Now}, event.NewLog(zap.New(core)))}
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
	return NewKeys(cfg, f.store, ringOf(f, ring...), f.events, f.clock.Now)
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
