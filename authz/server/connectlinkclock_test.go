package server

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// M09: a link ends for all processes at once, however far their clocks are apart.
func TestLinkOfAnotherClock_M09(t *testing.T) {
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{1}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0) // of the store
	process := func(ahead time.Duration) *Links {
		return &Links{
			issuer: "https://mcp.example.com", keys: keys,
			now:   func() time.Time { return now.Add(-ahead) },
			ahead: func() time.Duration { return ahead },
		}
	}
	made := process(10*time.Minute).URL(storage.Identity{Subject: "virtual_key:alice"}, "notes")
	ticket := made[len("https://mcp.example.com"+ConnectPath):]
	for _, ahead := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		other := process(ahead)
		if _, err := other.Open(ticket); err != nil {
			t.Errorf("%v ahead: %v", ahead, err)
		}
		now = now.Add(ConnectLinkLifetime)
		if _, err := other.Open(ticket); !errors.Is(err, ErrLinkExpired) {
			t.Errorf("%v ahead, when it ended: %v", ahead, err)
		}
		now = now.Add(-ConnectLinkLifetime)
	}
}
