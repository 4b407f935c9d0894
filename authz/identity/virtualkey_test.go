package identity

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestVirtualKeys(t *testing.T) {
	keys := NewVirtualKeys(
		Key{Name: "team", Hash: storage.HashOf("secret-1")},
		Key{Name: "ci", Hash: storage.HashOf("secret-2"), Servers: []string{"notion"}},
	)
	if k := keys.Set().ByHash(storage.HashOf("secret-1")); k == nil || k.Name != "team" || !k.Allows("anything") {
		t.Errorf("team key = %+v", k)
	}
	k := keys.Set().ByHash(storage.HashOf("secret-2"))
	if k == nil || k.Name != "ci" || !k.Allows("notion") || k.Allows("github") {
		t.Errorf("ci key = %+v", k)
	}
	if id := k.Identity(); keys.Set().behind(id) != k {
		t.Errorf("%+v is not valid", id)
	}
	replaced := Key{Name: "ci", Hash: storage.HashOf("secret-3")}
	if id := replaced.Identity(); keys.Set().behind(id) != nil || id.Subject != k.Identity().Subject {
		t.Errorf("%+v is valid", id)
	}
	for _, wrong := range []string{"", "secret", "secret-1 ", "SECRET-1", "team"} {
		if k := keys.Set().ByHash(storage.HashOf(wrong)); k != nil {
			t.Errorf("by %q: %+v", wrong, k)
		}
	}
	for _, wrong := range []string{"ci", "user_id:ci", "virtual_key:"} {
		if k := keys.Set().behind(storage.Identity{Subject: wrong, Proof: k.HashProof()}); k != nil {
			t.Errorf("behind %q: %+v", wrong, k)
		}
	}
	var none *VirtualKeys
	if none.Set().behind(k.Identity()) != nil || none.Set().ByHash(storage.HashOf("secret-1")) != nil {
		t.Error("a nil set has a key")
	}
}

// A key signs nobody in from the moment that it expires, whether or not somebody has
// looked after the keys since.
func TestSignInWithAnExpiredKey_D09(t *testing.T) {
	for name, test := range map[string]struct {
		expires time.Time
		good    bool
	}{
		"never":   {time.Time{}, true},
		"later":   {time.Now().Add(time.Hour), true},
		"expired": {time.Now().Add(-time.Second), false},
	} {
		t.Run(name, func(t *testing.T) {
			keys := NewVirtualKeys(Key{Name: "alice", Hash: storage.HashOf("secret"), Stored: true, ExpiresAt: test.expires})
			id, err := ByVirtualKey(keys).Identify(&http.Request{PostForm: url.Values{"vk": {"secret"}}})
			var denied *Denied
			if good := err == nil && id.Name == "alice"; good != test.good || !good && !errors.As(err, &denied) {
				t.Errorf("got %+v, %v; want signed in: %t", id, err, test.good)
			}
		})
	}
}
