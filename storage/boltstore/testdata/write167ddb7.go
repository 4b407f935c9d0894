//go:build ignore

// This program wrote 167ddb7.db, with the store as it was at commit 167ddb7. It
// is kept to tell what is in the file, and does not compile any more.
package main

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
)

const issuer = "https://mcp.example.com"

var (
	ctx    = context.Background()
	now    = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	hour   = now.Add(time.Hour)
	month  = now.Add(30 * 24 * time.Hour)
	year   = now.Add(365 * 24 * time.Hour)
	alice  = storage.Identity{Kind: "virtual_key", Subject: "virtual_key:alice", Name: "Alice", Proof: "proof of alice"}
	nobody = storage.Identity{Kind: "anonymous", Subject: "anonymous:1"}
	s      storage.Store
)

func main() {
	store, err := boltstore.Open(os.Args[1], boltstore.Options{})
	must(err)
	s = store
	clients()
	approvals()
	tokens()
	connections()
	first, err := s.UseOnce(ctx, storage.HashOf("jti"), hour, now)
	must(err, first)
	must(s.CreateBrowserSession(ctx, session("session 2", nobody)))
	must(store.Close())
}

func must(err error, conditions ...bool) {
	if err != nil {
		panic(err)
	}
	for _, ok := range conditions {
		if !ok {
			panic("not as wanted")
		}
	}
}

func clients() {
	secret := storage.HashOf("client secret")
	for _, id := range []string{"client 1", "client 2", "client 3"} {
		must(s.CreateClient(ctx, storage.Client{
			ID: id, Issuer: issuer, Metadata: json.RawMessage(`{"client_name":"` + id + `"}`),
			SecretHash: &secret, RegistrationTokenHash: storage.HashOf("registration token of " + id), CreatedAt: now, ExpiresAt: month,
		}, 100))
	}
}

// approvals: alice approves client 1 three times, and nobody in particular
// client 2; nobody approves client 3.
func approvals() {
	v, err := s.SaveFlow(ctx, flow("flow 0", alice), now) // pending
	must(err, v == storage.OK)
	owned := storage.Connection{
		ConnectionKey: storage.ConnectionKey{Issuer: issuer, Owner: storage.FlowOwner("flow 1"), Server: "notion"},
		ID:            "connection 1", State: storage.Active, Secret: []byte("sealed for the flow"), Provider: "https://provider.example",
		Scopes: []string{"read", "write"}, TokenExpiresAt: hour, CreatedAt: now, UpdatedAt: now, ExpiresAt: hour,
	}
	owned, v, err = s.PutConnection(ctx, owned, now)
	must(err, v == storage.OK)
	owned.Owner, owned.Secret = alice.Subject, []byte("sealed for alice")
	signedIn := session("session 1", alice)
	approve("1", "client 1", alice, func(sub *storage.Submission) {
		sub.Adopt, sub.Browser = []storage.Connection{owned}, &signedIn
	})
	approve("2", "client 1", alice, nil)
	approve("3", "client 1", alice, nil)
	approve("4", "client 2", nobody, func(sub *storage.Submission) {
		sub.Quota = &storage.Quota{Key: storage.HashOf("address"), Max: 10}
	})
}

func flow(id string, who storage.Identity) storage.Flow {
	return storage.Flow{ID: id, Issuer: issuer, Identity: who, ExpiresAt: hour}
}

func session(name string, who storage.Identity) storage.BrowserSession {
	return storage.BrowserSession{Hash: storage.HashOf(name), Issuer: issuer, Identity: who, CreatedAt: now, ExpiresAt: month}
}

func approve(n, client string, who storage.Identity, with func(*storage.Submission)) {
	v, err := s.SaveFlow(ctx, flow("flow "+n, who), now)
	must(err, v == storage.OK)
	sub := storage.Submission{
		FlowID: "flow " + n, Issuer: issuer, Subject: who.Subject, KeepClient: time.Hour, Now: now,
		Grant: &storage.Grant{
			ID: "grant " + n, Issuer: issuer, ClientID: client, Identity: who, Scope: []string{"mcp", "offline_access"},
			Resources: []string{issuer + "/notion", issuer + "/github"}, ResourcesRequested: true,
			RedirectURI: "http://127.0.0.1/callback", ClientName: "Name of " + client,
			CreatedAt: now, ExpiresAt: month, AbsoluteExpiresAt: year, LastUsedAt: now,
		},
		Code: &storage.Code{
			Hash: storage.HashOf("code " + n), GrantID: "grant " + n, Issuer: issuer, ClientID: client,
			RedirectURI: "http://127.0.0.1/callback", Challenge: "challenge", ExpiresAt: hour,
		},
	}
	if with != nil {
		with(&sub)
	}
	v, err = s.SubmitFlow(ctx, sub)
	must(err, v == storage.OK)
}

func issue(n, generation, client string, who storage.Identity) storage.Issue {
	return storage.Issue{
		Access: storage.AccessToken{
			Hash: storage.HashOf("access " + n + generation), GrantID: "grant " + n, Issuer: issuer, ClientID: client, Identity: who,
			Scope: []string{"mcp"}, Audience: []string{issuer + "/notion"}, IssuedAt: now, ExpiresAt: hour,
		},
		Refresh: &storage.RefreshToken{
			Hash: storage.HashOf("refresh " + n + generation), GrantID: "grant " + n, Issuer: issuer, ClientID: client, ExpiresAt: month,
		},
		GrantExpiresAt: month,
	}
}

func claim(n, challenge string, want storage.Verdict) {
	res, err := s.ClaimCode(ctx, storage.CodeClaim{
		Hash: storage.HashOf("code " + n), Issuer: issuer, ClientID: "client 1", Challenge: challenge, Issue: issue(n, "a", "client 1", alice), Now: now,
	})
	must(err, res.Verdict == want)
}

// tokens: of grant 1 there are two generations, grant 2 has tokens and is
// revoked, the code of grant 3 came with a wrong verifier, that of grant 4 is
// not redeemed.
func tokens() {
	claim("1", "challenge", storage.OK)
	claim("2", "challenge", storage.OK)
	claim("3", "wrong", storage.Burned)
	res, err := s.RotateRefreshToken(ctx, storage.Rotation{
		Hash: storage.HashOf("refresh 1a"), Issuer: issuer, ClientID: "client 1", Grace: time.Minute,
		Issue: issue("1", "b", "client 1", alice), Replay: []byte("sealed response"), Now: now,
	})
	must(err, res.Verdict == storage.OK)
	_, err = s.RevokeGrant(ctx, "grant 2", now)
	must(err)
}

func connections() {
	key := func(owner, server string) storage.ConnectionKey {
		return storage.ConnectionKey{Issuer: issuer, Owner: owner, Server: server}
	}
	put := func(c storage.Connection) storage.Connection {
		c, v, err := s.PutConnection(ctx, c, now)
		must(err, v == storage.OK)
		return c
	}
	revocation := func(id string) *storage.ProviderRevocation {
		return &storage.ProviderRevocation{ID: id, Issuer: issuer, Server: "linear", Secret: []byte("sealed tokens of " + id), DueAt: now, ExpiresAt: month}
	}
	leased := put(storage.Connection{
		ConnectionKey: key(alice.Subject, "github"), ID: "connection 2", State: storage.Active, Secret: []byte("pasted"), CreatedAt: now, UpdatedAt: now,
	})
	_, v, err := s.LeaseConnection(ctx, leased.ConnectionKey, leased.Revision, "holder", hour, now)
	must(err, v == storage.OK)
	put(storage.Connection{
		ConnectionKey: key(storage.FlowOwner("flow 0"), "github"), ID: "connection 3", State: storage.Active, Secret: []byte("unfinished"),
		CreatedAt: now, UpdatedAt: now, ExpiresAt: hour, OnExpiry: revocation("revocation 1"),
	})
	put(storage.Connection{ConnectionKey: key(storage.SharedOwner, "linear"), ID: "connection 4", State: storage.NeedsReauth, CreatedAt: now, UpdatedAt: now})
	put(storage.Connection{ConnectionKey: key(nobody.Subject, "linear"), ID: "connection 6", State: storage.InDoubt, Secret: []byte("in doubt"), CreatedAt: now, UpdatedAt: now})
	ended := put(storage.Connection{ConnectionKey: key(alice.Subject, "linear"), ID: "connection 5", State: storage.Active, CreatedAt: now, UpdatedAt: now})
	_, v, err = s.Disconnect(ctx, ended, revocation("revocation 2"), now)
	must(err, v == storage.OK)
	must(s.SaveUpstreamState(ctx, storage.UpstreamState{
		Hash: storage.HashOf("state"), ConnectionKey: key(alice.Subject, "linear"), Browser: storage.HashOf("cookie"),
		Provider: "https://provider.example", Secret: []byte("sealed verifier"), ExpiresAt: hour,
	}))
	must(s.PutUpstreamClient(ctx, storage.UpstreamClient{
		Issuer: issuer, Provider: "https://provider.example", Server: "linear", Secret: []byte("sealed client"), CreatedAt: now, ExpiresAt: year,
	}))
}
