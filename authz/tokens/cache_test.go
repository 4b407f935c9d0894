package tokens

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var cacheStart = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func newCachedStore(size int) (*Cache, *tokenStore) {
	s := &tokenStore{tokens: map[storage.Hash]storage.AccessToken{}}
	return NewCache(s, size), s
}

func liveToken() storage.AccessToken {
	return storage.AccessToken{GrantID: "g", Audience: []string{"r"}, ExpiresAt: cacheStart.Add(time.Hour)}
}

// lookup is what the gate does with a token that was issued here.
func (c *Cache) lookup(ctx context.Context, h storage.Hash, now time.Time) (*storage.AccessToken, error) {
	e, generation := c.Fresh(h, now)
	if e == nil {
		var err error
		if e, err = c.Read(ctx, h, now, generation, func(Contents) bool { return true }); err != nil {
			return nil, err
		}
	}
	return &e.Token, nil
}

func (c *Cache) len() int { return c.entries.Len() }

// A lookup that read the token before it was revoked must not bring it back.
func TestForgetDuringLookup_E02(t *testing.T) {
	c, s := newCachedStore(100)
	h := s.put("token", liveToken())
	s.beforeReturn = func() {
		s.beforeReturn = nil
		s.drop(h)
		c.Forget(storage.Revocation{AccessTokens: []storage.Hash{h}})
	}
	_, _ = c.lookup(context.Background(), h, cacheStart) // concurrent with the revocation: either answer is right
	if _, err := c.lookup(context.Background(), h, cacheStart); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("a revoked token passes: %v", err)
	}
}

// Once Forget has returned, no lookup that begins later succeeds, whoever else
// is looking.
func TestForgetUnderLoad_E02(t *testing.T) {
	c, s := newCachedStore(100)
	ctx := context.Background()
	for range 200 {
		h := s.put("token", liveToken())
		var readers sync.WaitGroup
		start := make(chan struct{})
		for range 8 {
			readers.Go(func() {
				<-start
				for range 20 {
					_, _ = c.lookup(ctx, h, cacheStart)
				}
			})
		}
		close(start)
		s.drop(h)
		c.Forget(storage.Revocation{AccessTokens: []storage.Hash{h}})
		if _, err := c.lookup(ctx, h, cacheStart); !errors.Is(err, storage.ErrNotFound) {
			t.Fatalf("a revoked token passes: %v", err)
		}
		readers.Wait()
		if n := c.len(); n != 0 {
			t.Fatalf("%d entries left of a revoked token", n)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	const size = 640
	c, s := newCachedStore(size)
	for i := range 10 * size {
		h := s.put(string(binary.BigEndian.AppendUint32(nil, uint32(i))), liveToken())
		if _, err := c.lookup(context.Background(), h, cacheStart.Add(time.Duration(i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.len(); n > size || n < size/2 {
		t.Errorf("%d entries, bound %d", n, size)
	}
}

func TestUnknownTokensAreNotRemembered(t *testing.T) {
	c, s := newCachedStore(100)
	h := storage.HashOf("soon")
	if _, err := c.lookup(context.Background(), h, cacheStart); !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
	s.put("soon", liveToken())
	if _, err := c.lookup(context.Background(), h, cacheStart); err != nil {
		t.Errorf("a token issued since is refused: %v", err)
	}
	if c.len() != 1 {
		t.Errorf("%d entries", c.len())
	}
}

// A clock that was set back must not make an entry look young.
func TestClockSetBack_E17(t *testing.T) {
	c, s := newCachedStore(100)
	h := s.put("token", liveToken())
	if _, err := c.lookup(context.Background(), h, cacheStart); err != nil {
		t.Fatal(err)
	}
	s.drop(h)
	if _, err := c.lookup(context.Background(), h, cacheStart.Add(-time.Minute)); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("answered from the cache: %v", err)
	}
}

// staleFor is what a store that cannot be reached allows.
const staleFor = 30 * time.Second

var errAway = &storage.UnreachableError{StaleFor: staleFor, Cause: errors.New("refused")}

// Whatever happens, a token passes only if the store had it within the last
// five seconds, or thirty while it cannot be reached, and nobody in this process
// has revoked it or was told that it is gone; and one that the store has always
// passes while the store answers.
func TestCacheProperty_E02_E16_E17(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, s := newCachedStore(64 * 2)
		now := cacheStart
		names := []string{"a", "b", "c"}
		lastTrue := map[string]time.Time{} // when the store last had it
		forgotten := map[string]bool{}     // revoked here, or known to be gone
		name := rapid.SampledFrom(names)
		t.Repeat(map[string]func(*rapid.T){
			"issue": func(t *rapid.T) {
				n := name.Draw(t, "token")
				s.put(n, storage.AccessToken{GrantID: n, ExpiresAt: cacheStart.Add(24 * time.Hour)})
				forgotten[n] = false
			},
			"revoke here": func(t *rapid.T) {
				n := name.Draw(t, "token")
				s.drop(storage.HashOf(n))
				c.Forget(storage.Revocation{AccessTokens: []storage.Hash{storage.HashOf(n)}})
				forgotten[n] = true
			},
			"revoke elsewhere": func(t *rapid.T) { s.drop(storage.HashOf(name.Draw(t, "token"))) },
			"store fails":      func(t *rapid.T) { s.err = errors.New("down") },
			"store goes away":  func(t *rapid.T) { s.err = errAway },
			"store recovers":   func(t *rapid.T) { s.err = nil },
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 7000).Draw(t, "ms")) * time.Millisecond)
			},
			"look up": func(t *rapid.T) {
				n := name.Draw(t, "token")
				h := storage.HashOf(n)
				_, has := s.tokens[h]
				got, err := c.lookup(context.Background(), h, now)
				if err != nil {
					if has && s.err == nil {
						t.Fatalf("%s is refused: %v", n, err)
					}
					forgotten[n] = forgotten[n] || errors.Is(err, storage.ErrNotFound)
					return
				}
				if got.GrantID != n {
					t.Fatalf("%s is answered with %s", n, got.GrantID)
				}
				if forgotten[n] {
					t.Fatalf("%s was revoked here and passes", n)
				}
				within := TTL
				if s.err == errAway {
					within = staleFor
				}
				if !has && now.Sub(lastTrue[n]) > within {
					t.Fatalf("%s passes %v after it was gone", n, now.Sub(lastTrue[n]))
				}
			},
			"": func(t *rapid.T) {
				for _, n := range names {
					if _, has := s.tokens[storage.HashOf(n)]; has {
						lastTrue[n] = now
					}
				}
			},
		})
	})
}

// While the store cannot be reached, a token that it had goes on for as long as it
// allows, counted from when it was last read; a store that fails otherwise allows
// nothing.
func TestStoreIsAway_E16(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		after time.Duration
		pass  bool
	}{
		{"within", errAway, staleFor, true},
		{"too long", errAway, staleFor + 1, false},
		{"switched off", &storage.UnreachableError{Cause: errors.New("refused")}, TTL + 1, false},
		{"it fails", errors.New("disk"), TTL + 1, false},
	} {
		c, s := newCachedStore(100)
		h := s.put("token", liveToken())
		if _, err := c.lookup(context.Background(), h, cacheStart); err != nil {
			t.Fatal(err)
		}
		s.err = tt.err
		_, _ = c.lookup(context.Background(), h, cacheStart.Add(tt.after/2)) // which confirms nothing
		if _, err := c.lookup(context.Background(), h, cacheStart.Add(tt.after)); (err == nil) != tt.pass {
			t.Errorf("%s: passes %t, %v; want %t", tt.name, err == nil, err, tt.pass)
		}
	}
}

// A grant goes on like a token, unless it was revoked here.
func TestReadGrant(t *testing.T) {
	c, _ := newCachedStore(100)
	read := func(after time.Duration, err error) bool {
		g, err := c.ReadGrant("g", cacheStart.Add(after), func() (*Grant, error) { return &Grant{}, err })
		return err == nil && g != nil
	}
	for _, tt := range []struct {
		after time.Duration
		err   error
		want  bool
	}{
		{0, errAway, false}, {0, nil, true}, {staleFor, errAway, true}, {staleFor + 1, errAway, false}, {0, errAway, true},
		{1, storage.ErrNotFound, false}, {2, errAway, false}, {3, nil, true}, {4, errAway, true},
	} {
		if got := read(tt.after, tt.err); got != tt.want {
			t.Errorf("after %v with %v: good %t, want %t", tt.after, tt.err, got, tt.want)
		}
	}
	c.Forget(storage.Revocation{GrantIDs: []string{"g"}})
	if read(5, errAway) {
		t.Error("a grant that was revoked here goes on")
	}
	_, _ = c.ReadGrant("g", cacheStart, func() (*Grant, error) {
		c.Forget(storage.Revocation{GrantIDs: []string{"g"}}) // meanwhile
		return &Grant{}, nil
	})
	if read(5, errAway) {
		t.Error("what was read before the revocation goes on")
	}
}

// When a person changed, or nobody knows what did, nothing that was read before goes on
// while the store cannot be reached: neither tokens, nor grants of open streams.
func TestForgottenPeopleDoNotGoOn_E16(t *testing.T) {
	alice := storage.Identity{Subject: "alice"}
	for name, forget := range map[string]func(*Cache){
		"a person": func(c *Cache) { c.ForgetPeople(map[storage.Subject]bool{{Issuer: "i", Subject: "alice"}: true}) },
		"all":      (*Cache).ForgetAll,
	} {
		c, s := newCachedStore(100)
		token := liveToken()
		token.Issuer, token.Identity = "i", alice
		h := s.put("token", token)
		_, token1 := c.lookup(context.Background(), h, cacheStart)
		grant := func(err error) error {
			_, got := c.ReadGrant("g", cacheStart, func() (*Grant, error) {
				return &Grant{Grant: storage.Grant{Issuer: "i", Identity: alice}}, err
			})
			return got
		}
		if err := errors.Join(token1, grant(nil), grant(errAway)); err != nil {
			t.Fatal(err)
		}
		forget(c)
		s.err = errAway
		_, token2 := c.lookup(context.Background(), h, cacheStart)
		if got := grant(errAway); token2 == nil || got == nil {
			t.Errorf("%s: the token goes on with %v, the grant with %v; want neither", name, token2, got)
		}
	}
}
