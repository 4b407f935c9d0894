package signing

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

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
		instance := NewKeys(siteOf("EdDSA", 90*day), stores[n%len(stores)], ringOf(t, 1), f.events, f.clock.Now)
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
	if n := f.logs.FilterMessage("signing key made").Len(); n != 1 {
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

// Whoever waited while somebody else could not read the keys does not try in turn.
func TestWaitersShareAFailure(t *testing.T) {
	f := newFixture(t, memstore.New())
	k := f.instance()
	f.store.err = errors.New("down")
	before := k.reads.Load()
	for range 2 { // one that is waited for, and one that comes later
		if _, err := k.Published(t.Context()); !errors.Is(err, f.store.err) {
			t.Errorf("got %v", err)
		}
	}
	if f.store.reads != 2 {
		t.Errorf("the store was asked %d times, want 2", f.store.reads)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(t.Context(), before); !errors.Is(err, f.store.err) || f.store.reads != 2 {
		t.Errorf("who waited got %v, after %d reads", err, f.store.reads)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.refresh(gone, k.reads.Load()); err == nil || k.failure != nil {
		t.Errorf("a sender who hung up got %v, and others get %v", err, k.failure)
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
		line, err := json.Marshal([]any{entry.Message, entry.ContextMap()})
		if err != nil {
			t.Fatal(err)
		}
		seen += string(line)
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
