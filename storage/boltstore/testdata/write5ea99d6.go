//go:build ignore

// This program wrote 5ea99d6.db, with the store as it was at commit 5ea99d6, the last
// one with schema 2. What is sealed is sealed with 32 times the byte 1.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

var (
	ctx  = context.Background()
	now  = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	year = now.Add(365 * 24 * time.Hour)
)

func main() {
	s, err := boltstore.Open(os.Args[1], boltstore.Options{})
	must(err)
	ring, err := seal.NewKeyring(bytes.Repeat([]byte{1}, seal.KeySize))
	must(err)
	for _, site := range []string{"https://mcp.example.com", "https://other.example.com"} {
		for n := range 3 {
			server := fmt.Sprint("server ", n)
			v, err := s.PutUpstreamClient(ctx, storage.UpstreamClient{
				Issuer: site, Provider: "https://provider.example", Server: server, CreatedAt: now,
				Secret: ring.Seal([]byte("client of "+site+server), "upstream client", site, "https://provider.example", server),
			}, nil, now)
			must(err, v == storage.OK)
		}
		k := storage.ConnectionKey{Issuer: site, Owner: "oidc:company:alice", Server: "server 0"}
		_, v, err := s.PutConnection(ctx, storage.Connection{
			ConnectionKey: k, ID: "id", State: storage.Active, CreatedAt: now, UpdatedAt: now,
			Secret: ring.Seal([]byte("tokens"), "connection", k.Issuer, k.Owner, k.Server, "id"),
		}, now)
		must(err, v == storage.OK)
		must(s.QueueRevocation(ctx, storage.ProviderRevocation{
			ID: "revocation at " + site, Issuer: site, Server: "server 1", DueAt: now, ExpiresAt: year,
			Secret: ring.Seal([]byte("tokens"), "revocation", site, "server 1", "revocation at "+site),
		}))
		state := storage.HashOf("state at " + site)
		must(s.SaveConnectState(ctx, storage.ConnectState{
			Hash: state, ConnectionKey: k, ExpiresAt: year,
			Secret: ring.Seal([]byte("verifier"), "trip", k.Issuer, k.Owner, k.Server, string(state[:])),
		}))
		_, v, err = s.SavePerson(ctx, storage.Person{
			Issuer: site, Subject: "oidc:company:alice", Kind: "oidc:company", Proof: "proof", ID: "person", SignedInAt: now, VerifiedAt: now, DueAt: now, ExpiresAt: year,
			Secret:  ring.Seal([]byte("refresh"), "person", site, "oidc:company:alice", "proof"),
			SignOut: &storage.SignOutHint{Secret: ring.Seal([]byte("hint"), "sign-out hint", site, "oidc:company:alice", "proof")},
		}, now)
		must(err, v == storage.OK)
		_, v, err = s.PutVirtualKey(ctx, storage.VirtualKey{Issuer: site, Look: "carol", Name: "carol", Hash: storage.HashOf("key"), CreatedAt: now})
		must(err, v == storage.OK)
		must(s.PutSiteValue(ctx, storage.SiteValue{
			Issuer: site, Name: "signing keys", Text: base64.RawURLEncoding.EncodeToString(ring.Seal([]byte("{}"), "signing keys", site)),
		}))
	}
	must(s.Close())
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
