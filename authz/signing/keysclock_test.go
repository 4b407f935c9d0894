package signing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

// clockStore is a store with a clock of its own.
type clockStore struct {
	storage.AuthStore
	ahead time.Duration
}

func (s clockStore) Ahead() time.Duration { return s.ahead }

// M09: the next key begins to sign at all processes at once, however far their clocks
// are apart, and none of them makes another.
func TestKeysBetweenClocks_M09(t *testing.T) {
	store := memstore.New()
	f := newFixture(t, store)
	process := func(ahead time.Duration) *Keys {
		now := func() time.Time { return f.clock.Now().Add(ahead) }
		return NewKeys(siteOf("EdDSA", 90*day), clockStore{store, -ahead}, ringOf(t, 1), f.events, now)
	}
	all := []*Keys{process(10 * time.Minute), process(0), process(-10 * time.Minute)}
	for _, at := range []time.Duration{0, 89 * day, 90*day - 2*time.Minute, 90*day + time.Minute} {
		f.at(at)
		var ids []string
		for _, k := range all {
			signed, err := k.Sign(t.Context(), "x+jwt", []byte(`{}`), k.now().Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, f.verified(k, signed))
		}
		if ids[0] != ids[1] || ids[1] != ids[2] {
			t.Errorf("after %v, signed with %v", at, ids)
		}
	}
	if n := f.logs.FilterMessage("signing key made").Len(); n != 2 {
		t.Errorf("%d keys were made, want 2", n)
	}
}

// M09: a statement is good for a minute for servers whose clock is right, whichever
// process made it.
func TestStatementBetweenClocks_M09(t *testing.T) {
	for _, ahead := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		f := newFixture(t, memstore.New())
		s := f.statements()
		now := func() time.Time { return f.clock.Now().Add(ahead) }
		s.now, s.keys = now, NewKeys(siteOf("EdDSA", 90*day), clockStore{f.store, -ahead}, ringOf(t, 1), f.events, now)
		jws, err := jose.ParseSignedCompact(f.value(s, callerOf("grant-1"), wiki), []jose.SignatureAlgorithm{EdDSA})
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`"exp":%d,"iat":%d,`, testStart.Unix()+60, testStart.Unix())
		if got := string(jws.UnsafePayloadWithoutVerification()); !strings.Contains(got, want) {
			t.Errorf("%v ahead: %s; want %s", ahead, got, want)
		}
	}
}
