package boltstore

import (
	"compress/gzip"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// What the programs in testdata wrote.
const (
	oldIssuer   = "https://mcp.example.com"
	oldRedirect = "http://127.0.0.1/callback"
	oldProvider = "https://provider.example"
)

var (
	oldNow   = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	oldHour  = oldNow.Add(time.Hour)
	oldMonth = oldNow.Add(30 * 24 * time.Hour)
	oldYear  = oldNow.Add(365 * 24 * time.Hour)
	oldAlice = storage.Identity{Kind: "virtual_key", Subject: "virtual_key:alice", Name: "Alice", Proof: "proof of alice"}
	nobody   = storage.Identity{Kind: "anonymous", Subject: "anonymous:1"}
)

// A database of an earlier version opens, and each of its records is what it was.
func TestOldDatabaseIsRead(t *testing.T) {
	s := openOld(t, "167ddb7")
	if kinds := kindsIn(t, s); kinds != "abcdfghijkmnopqrstuw" {
		t.Fatalf("kinds of record %q", kinds)
	}
	got := map[string]any{}
	for name, read := range oldReads(t, s) {
		record, err := read()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got[name] = record
	}
	want := oldRecords()
	for name := range got {
		if !reflect.DeepEqual(got[name], want[name]) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("read %v\nwant %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	if _, err := s.AccessToken(t.Context(), storage.HashOf("access 2a"), oldNow); err != storage.ErrNotFound {
		t.Errorf("access token of the revoked grant: %v", err)
	}
}

// What was begun under the earlier version goes on.
func TestOldDatabaseGoesOn(t *testing.T) {
	ctx, s := t.Context(), openOld(t, "167ddb7")
	check := func(what string, got storage.Verdict, err error, want storage.Verdict) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", what, got, err, want)
		}
	}
	rotation := storage.Rotation{
		Hash: storage.HashOf("refresh 1a"), Issuer: oldIssuer, ClientID: "client 1", Grace: time.Minute, Now: oldNow.Add(time.Second),
		Issue: oldIssue("1", "c", "client 1", oldAlice),
	}
	repeated, err := s.RotateRefreshToken(ctx, rotation)
	check("refresh with the token before", repeated.Verdict, err, storage.Repeated)
	if string(repeated.Replay) != "sealed response" {
		t.Errorf("the repeated response is %q", repeated.Replay)
	}
	rotation.Hash = storage.HashOf("refresh 1b")
	rotated, err := s.RotateRefreshToken(ctx, rotation)
	check("refresh", rotated.Verdict, err, storage.OK)
	rotation.Hash = storage.HashOf("refresh 2a")
	rotated, err = s.RotateRefreshToken(ctx, rotation)
	check("refresh under the revoked grant", rotated.Verdict, err, storage.Revoked)
	claim := storage.CodeClaim{
		Hash: storage.HashOf("code 4"), Issuer: oldIssuer, ClientID: "client 2", RedirectURI: oldRedirect, Challenge: "challenge",
		Issue: oldIssue("4", "a", "client 2", nobody), Now: oldNow,
	}
	claimed, err := s.ClaimCode(ctx, claim)
	check("code", claimed.Verdict, err, storage.OK)
	claim.Hash, claim.ClientID = storage.HashOf("code 1"), "client 1"
	claimed, err = s.ClaimCode(ctx, claim)
	check("code that was redeemed", claimed.Verdict, err, storage.Replayed)
	first, err := s.UseOnce(ctx, storage.HashOf("jti"), oldHour, oldNow)
	if err != nil || first {
		t.Errorf("what was used: first %t, %v", first, err)
	}

	c := oldRecords()["connection 2"].(storage.Connection)
	_, v, err := s.LeaseConnection(ctx, c, "other", oldHour, oldNow)
	check("lease", v, err, storage.LeaseHeld)
	c.Secret = []byte("refreshed")
	_, v, err = s.PutConnection(ctx, c, oldNow)
	check("answer of a refresh", v, err, storage.OK)
	_, v, err = s.ClaimConnectState(ctx, storage.HashOf("state"), storage.HashOf("another cookie"), oldNow)
	check("connect state in another browser", v, err, storage.WrongBrowser)
	state, v, err := s.ClaimConnectState(ctx, storage.HashOf("state"), storage.HashOf("cookie"), oldNow)
	check("connect state", v, err, storage.OK)
	if want := oldConnectState(); !reflect.DeepEqual(state, want) {
		t.Errorf("connect state: got\n%+v\nwant\n%+v", state, want)
	}
	client := oldRecords()["upstream client"].(storage.UpstreamClient)
	v, err = s.PutUpstreamClient(ctx, client, client.Secret, oldNow)
	check("upstream client", v, err, storage.OK)

	v, err = s.SubmitFlow(ctx, storage.Submission{FlowID: "flow 1", Issuer: oldIssuer, Identity: oldAlice, Now: oldNow})
	check("flow that was submitted", v, err, storage.Submitted)
	v, err = s.SubmitFlow(ctx, storage.Submission{FlowID: "flow 0", Issuer: oldIssuer, Identity: oldAlice, Now: oldNow})
	check("pending flow", v, err, storage.OK)
	if _, err := s.DeleteClient(ctx, "client 3", oldNow); err != nil {
		t.Errorf("client that nobody approved: %v", err)
	}
	due, err := s.DueRevocations(ctx, oldIssuer, 10, oldNow, oldHour)
	if err != nil || len(due) != 1 || due[0].ID != "revocation 2" || string(due[0].Secret) != "sealed tokens of revocation 2" {
		t.Errorf("due revocations: %+v, %v", due, err)
	}
	if _, err := s.Sweep(ctx, oldYear.Add(2*time.Hour)); err != nil {
		t.Errorf("sweep: %v", err)
	}
	if left, err := s.ConnectionsOf(ctx, oldIssuer, "", oldYear); err != nil || len(left) != 4 {
		t.Errorf("connections after everything else ended: %+v, %v", left, err)
	}
}

// The kinds of record that came later are what they were, too.
func TestRecentDatabaseGoesOn(t *testing.T) {
	ctx, s := t.Context(), openOld(t, "0d40d59")
	if kinds := kindsIn(t, s); kinds != "abcefgiklmnruvwxy" {
		t.Fatalf("kinds of record %q", kinds)
	}
	check := func(what string, got, want any, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v, %v\nwant\n%+v", what, got, err, want)
		}
	}
	for name, want := range map[string]storage.SiteValue{
		"standing":     {Issuer: oldIssuer, Name: "standing", Text: "keys"},
		"proved alice": {Issuer: oldIssuer, Name: "proved alice", Text: "then", ExpiresAt: oldHour},
	} {
		got, err := s.SiteValue(ctx, oldIssuer, name, oldNow)
		check(name, got, want, err)
	}
	last, err := s.LastDisconnect(ctx, storage.ConnectionKey{Issuer: oldIssuer, Owner: oldAlice.Subject, Server: "linear"})
	check("last disconnect", last, uint64(oldNow.UnixNano()), err)
	first := storage.HashOf("refresh 1")
	token, _, err := s.RefreshToken(ctx, storage.HashOf("refresh 2"), oldNow)
	check("refresh token", token, storage.RefreshToken{
		Hash: storage.HashOf("refresh 2"), GrantID: "grant 1", Issuer: oldIssuer, ClientID: "client 3", ExpiresAt: oldMonth,
		Predecessor: &first, Authenticated: true,
	}, err)

	cookie := storage.HashOf("cookie of flow 1")
	flow, err := s.Flow(ctx, "flow 1", oldNow)
	check("flow", flow, storage.Flow{ID: "flow 1", Issuer: oldIssuer, Identity: oldAlice, Browser: cookie, ExpiresAt: oldHour}, err)
	err = s.CreateBrowserSession(ctx, storage.SignIn{
		BrowserSession: storage.BrowserSession{
			Hash: storage.HashOf("of another"), Issuer: oldIssuer, Identity: nobody, CreatedAt: oldNow, ExpiresAt: oldMonth,
		},
		Flows: []storage.Hash{cookie}, EndsOthers: true,
	})
	if _, ended := s.Flow(ctx, "flow 1", oldNow); err != nil || ended != storage.ErrNotFound {
		t.Errorf("the flow after somebody else signed in in its browser: %v, %v", ended, err)
	}
	there := storage.HashOf("there")
	err = s.CreateClient(ctx, storage.Client{
		ID: "client 4", Issuer: oldIssuer, Metadata: []byte("{}"), Sender: &there, CreatedAt: oldNow.Add(time.Second), ExpiresAt: oldMonth,
	}, storage.Unused{Max: 2})
	if _, dropped := s.Client(ctx, "client 1", oldNow); err != nil || dropped != storage.ErrNotFound {
		t.Errorf("the oldest client of the sender with most: %v, %v", dropped, err)
	}
	if _, err := s.Client(ctx, "client 3", oldNow); err != nil {
		t.Errorf("the client that was approved: %v", err)
	}
}

// kindsIn returns the kinds of the records that there are.
func kindsIn(t *testing.T, s *Store) string {
	t.Helper()
	var kinds []byte
	err := s.engine.View(t.Context(), func(r kv.Reader) error {
		for key := range r.Scan(nil) {
			kinds = append(kinds, key[0])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(slices.Compact(kinds))
}

// openOld opens a copy of the database that a commit wrote.
func openOld(t *testing.T, commit string) *Store {
	t.Helper()
	packed, err := os.Open("testdata/" + commit + ".db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "old.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
