package boltstore

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A process that ends between sending a refresh token and storing the answer
// is found out after a restart: the token is not sent again.
func TestRestartDuringRefresh_K12(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "mcp_oauth.db"), time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	key := storage.ConnectionKey{Issuer: "https://mcp.example.com", Owner: "user_id:alice", Server: "notion"}
	first := open(t, path)
	c, v, err := first.PutConnection(background(), storage.Connection{ConnectionKey: key, ID: "c", State: storage.Active}, now)
	if err != nil || v != storage.OK {
		t.Fatal(v, err)
	}
	until := now.Add(time.Minute)
	if _, v, err = first.LeaseConnection(background(), c, "first", until, now); err != nil || v != storage.OK {
		t.Fatal(v, err)
	}
	closed(t, first)

	again := open(t, path)
	defer closed(t, again)
	if _, v, err = again.LeaseConnection(background(), c, "again", until.Add(1), now); err != nil || v != storage.LeaseHeld {
		t.Fatalf("while the lease lasts: verdict %v, %v", v, err)
	}
	c, v, err = again.LeaseConnection(background(), c, "again", until.Add(time.Minute), until)
	if err != nil || v != storage.LeaseExpired || c.State != storage.InDoubt {
		t.Fatalf("afterwards: verdict %v, %s, %v", v, c.State, err)
	}
	if c, err = again.Connection(background(), key, until); err != nil || c.State != storage.InDoubt {
		t.Fatalf("it is %s, %v", c.State, err)
	}
}
