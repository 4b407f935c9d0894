package accounts

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
)

// Whoever copies the database has nobody's tokens.
func TestNothingToStealInTheDatabase_M01(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	store, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	v := newVault(t)
	v.store.Store = store

	const canary = "canary-in-the-coal-mine"
	v.connectAs(alice, "notion", func(_ *storage.Connection, s *secrets) {
		s.AccessToken, s.RefreshToken = canary+"-access", canary+"-refresh"
	})
	v.provider.Adopt(canary+"-refresh", alice+" notion")
	v.provider.Change(func() {
		v.provider.Members = oauthtest.Object{"access_token": canary + "-next", "refresh_token": canary + "-refresh-next"}
	})
	v.clock.Advance(time.Hour)
	if c, err := v.Credential(t.Context(), alice, "notion"); err != nil || !strings.HasSuffix(c.Headers[0].Value, canary+"-next") {
		t.Fatalf("got %v, error %v; want the next token", c, err)
	}
	v.paste(alice, canary+"-key")
	v.connectAs(flowOwner, "notion", func(_ *storage.Connection, s *secrets) { s.AccessToken = canary + "-flow" })
	if _, err := v.Adopt(t.Context(), flow, bob); err != nil {
		t.Fatal(err)
	}
	v.provider.Fail(oauthtest.Down)
	v.disconnect(alice, "notion") // stays in the queue

	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, []byte(canary)) || !bytes.Contains(content, []byte(`"notion"`)) {
		t.Error("the database has a token, or is not what was searched")
	}
}
