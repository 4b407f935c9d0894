package jwks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

var testRules = Rules{Algorithms: []jose.SignatureAlgorithm{jose.ES256}, MaxLen: 64 << 10, MaxKeys: 20}

// keyHost publishes the keys of a signer, and counts who asks.
type keyHost struct {
	*oauthtest.Host
	t     testing.TB
	clock *oauthtest.Clock
	keys  map[string]*ecdsa.PrivateKey
}

func newKeyHost(t testing.TB) (*keyHost, *Remote) {
	h := &keyHost{oauthtest.NewHost(t), t, oauthtest.NewClock(time.Unix(1_800_000_000, 0)), map[string]*ecdsa.PrivateKey{}}
	guarded := egress.New(egress.Options{Loopback: true})
	return h, &Remote{Rules: testRules, URL: h.URL + "/jwks", Fetch: guarded.FetchJSON, Now: h.clock.Now}
}

// publish has the host answer with new keys of these names.
func (h *keyHost) publish(ids ...string) {
	h.t.Helper()
	clear(h.keys)
	var set jose.JSONWebKeySet
	for _, id := range ids {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			h.t.Fatal(err)
		}
		h.keys[id] = key
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: id})
	}
	text, err := json.Marshal(set)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Publish("/jwks", string(text))
}

// signed returns something that a key has signed, under any name.
func (h *keyHost) signed(key *ecdsa.PrivateKey, id string) *jose.JSONWebSignature {
	h.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	object, err := signer.Sign([]byte("payload"))
	if err != nil {
		h.t.Fatal(err)
	}
	compact, err := object.CompactSerialize()
	if err != nil {
		h.t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(compact, testRules.Algorithms)
	if err != nil {
		h.t.Fatal(err)
	}
	return jws
}

func TestRemoteVerifies_J11(t *testing.T) {
	h, remote := newKeyHost(t)
	h.publish("a", "b")
	a, b := h.keys["a"], h.keys["b"]
	for name, tt := range map[string]struct {
		jws  *jose.JSONWebSignature
		good bool
	}{
		"a": {h.signed(a, "a"), true}, "b": {h.signed(b, "b"), true}, "no name": {h.signed(b, ""), true},
		"under the name of another": {h.signed(b, "a"), false}, "unknown": {h.signed(b, "c"), false},
	} {
		t.Run(name, func(t *testing.T) {
			payload, err := remote.Verify(t.Context(), tt.jws)
			if tt.good != (err == nil && string(payload) == "payload") || !tt.good && !errors.Is(err, ErrSignature) {
				t.Errorf("payload %q, %v", payload, err)
			}
		})
	}
	if h.Hits() != 1 {
		t.Errorf("the keys were fetched %d times, want once", h.Hits())
	}
}

// Anybody can name a key that does not exist: the address is left alone.
func TestThousandUnknownKeys_J11(t *testing.T) {
	h, remote := newKeyHost(t)
	h.publish("a")
	a := h.keys["a"]
	var all sync.WaitGroup
	for i := range 1000 {
		jws := h.signed(a, fmt.Sprint("unknown ", i))
		all.Go(func() {
			if _, err := remote.Verify(t.Context(), jws); !errors.Is(err, ErrSignature) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if h.Hits() != 1 {
		t.Errorf("the keys were fetched %d times, want once", h.Hits())
	}
	h.publish("b")
	b := h.signed(h.keys["b"], "b")
	h.clock.Advance(refetchAfter - time.Second)
	if _, err := remote.Verify(t.Context(), b); !errors.Is(err, ErrSignature) {
		t.Errorf("a new key within a minute: %v", err)
	}
	h.clock.Advance(time.Second)
	if _, err := remote.Verify(t.Context(), b); err != nil {
		t.Errorf("a new key after a minute: %v", err)
	}
	if h.Hits() != 2 {
		t.Errorf("the keys were fetched %d times, want twice", h.Hits())
	}
}

// A key that is taken back verifies for an hour at most; while nobody answers, a
// day.
func TestRemoteKeysEnd_J11(t *testing.T) {
	h, remote := newKeyHost(t)
	h.publish("a")
	a := h.signed(h.keys["a"], "a")
	verify := func(want error) {
		t.Helper()
		if _, err := remote.Verify(t.Context(), a); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	verify(nil)
	h.Page("/jwks", oauthtest.Answer(http.StatusBadGateway, "text/html", ""))
	h.clock.Advance(staleFor - time.Second)
	verify(nil)
	h.clock.Advance(time.Second)
	verify(egress.ErrUnavailable)
	h.publish("b")
	h.clock.Advance(refetchAfter)
	verify(ErrSignature)
}

func TestRemoteIsHostile_J11(t *testing.T) {
	for name, page := range map[string]http.HandlerFunc{
		"50 MiB": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 50 {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1<<20))); err != nil {
					return
				}
			}
		},
		"redirect": oauthtest.Redirect("/elsewhere"),
		"HTML":     oauthtest.Answer(http.StatusOK, "text/html", `{"keys":[]}`),
		"no keys":  oauthtest.Answer(http.StatusOK, "application/json", `{"keys":[]}`),
		"hangs up": oauthtest.HangUp,
	} {
		t.Run(name, func(t *testing.T) {
			h, remote := newKeyHost(t)
			h.publish("a")
			jws := h.signed(h.keys["a"], "a")
			good := h.Page("/jwks", page)
			h.Page("/elsewhere", good)
			if _, err := remote.Verify(t.Context(), jws); err == nil || errors.Is(err, ErrSignature) {
				t.Errorf("got %v, want that there are no keys", err)
			}
			h.Page("/jwks", good)
			if _, err := remote.Verify(t.Context(), jws); err == nil || h.Hits() != 1 {
				t.Errorf("at once again: %v, %d requests", err, h.Hits())
			}
			h.clock.Advance(retryAfter)
			if _, err := remote.Verify(t.Context(), jws); err != nil {
				t.Errorf("when it is as it should be: %v", err)
			}
		})
	}
}
