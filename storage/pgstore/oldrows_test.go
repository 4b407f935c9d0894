//go:build postgres

package pgstore

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A row of a version before does not tell the browser beside its body. It is claimed
// once all the same.
func TestOldConnectStateIsClaimedOnce(t *testing.T) {
	here, there, schema := pair(t)
	browser, now := storage.HashOf("browser"), time.Now()
	for range 20 {
		state := storage.ConnectState{
			Hash: storage.HashOf("state"), Browser: browser, Provider: "https://id.example.com", Secret: []byte("sealed"), ExpiresAt: now.Add(time.Minute),
			ConnectionKey: storage.ConnectionKey{Issuer: watchedIssuer, Owner: "alice", Server: "wiki"},
		}
		if err := here.SaveConnectState(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		sql(t, `update `+schema+`.connect_states set browser = ''`)
		if _, v, err := here.ClaimConnectState(t.Context(), state.Hash, storage.HashOf("another"), now); v != storage.WrongBrowser {
			t.Errorf("another browser: verdict %v, %v, want %v", v, err, storage.WrongBrowser)
		}
		var won atomic.Int64
		var racers sync.WaitGroup
		for n := range 16 {
			racers.Go(func() {
				_, v, err := []*Store{here, there}[n%2].ClaimConnectState(t.Context(), state.Hash, browser, now)
				switch {
				case err != nil || v != storage.OK && v != storage.Unknown:
					t.Errorf("verdict %v, %v", v, err)
				case v == storage.OK:
					won.Add(1)
				}
			})
		}
		racers.Wait()
		if n := won.Load(); n != 1 {
			t.Fatalf("%d claimed it, want 1", n)
		}
	}
}
