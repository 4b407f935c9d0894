package identity

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestCovers(t *testing.T) {
	all, ab, a, other := Listed{Proof: "1"}, Listed{Proof: "1", Servers: []string{"a", "b"}}, Listed{Proof: "1", Servers: []string{"a"}}, Listed{Proof: "2"}
	for name, tt := range map[string]struct {
		l, other Listed
		want     bool
	}{
		"same": {ab, ab, true}, "all": {all, ab, true}, "more": {ab, a, true},
		"fewer": {a, ab, false}, "fewer than all": {ab, all, false}, "another proof": {other, a, false}, "not listed": {Listed{}, all, false},
	} {
		if got := tt.l.Covers(tt.other); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// Whoever was let in with an earlier secret is not valid any more.
func TestSharedProof(t *testing.T) {
	ms := Methods{{Kind: "shared_secret", SharedProof: "v2"}}
	for proof, want := range map[string]bool{"v1": false, "v2": true, "": false} {
		if got := ms.Valid(storage.Identity{Kind: "shared_secret", Subject: "shared_secret:alice", Proof: proof}); got != want {
			t.Errorf("proof %q: valid %v, want %v", proof, got, want)
		}
	}
}
