//go:build ignore

// This program wrote 0d40d59.db, with the store as it was at commit 0d40d59: the
// kinds of record that came after 167ddb7. It is kept to tell what is in the
// file, and does not compile any more.
package main

import (
	"context"
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
)

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

func main() {
	s, err := boltstore.Open(os.Args[1], boltstore.Options{})
	must(err)
	must(s.PutMemo(ctx, storage.Memo{Issuer: issuer, Name: "standing", Text: "keys"}))
	must(s.PutMemo(ctx, storage.Memo{Issuer: issuer, Name: "proved alice", Text: "then", ExpiresAt: hour}))
	for i, id := range []string{"client 1", "client 2", "client 3"} {
		sender := storage.HashOf([]string{"here", "here", "there"}[i])
		must(s.CreateClient(ctx, storage.Client{
			ID: id, Issuer: issuer, Metadata: []byte("{}"), Sender: &sender, CreatedAt: now.Add(time.Duration(i)), ExpiresAt: month,
		}, storage.Unused{Max: 10}))
	}
	for _, id := range []string{"flow 1", "flow 2"} {
		who := map[string]storage.Identity{"flow 1": alice, "flow 2": nobody}[id]
		v, err := s.SaveFlow(ctx, storage.Flow{ID: id, Issuer: issuer, Identity: who, Browser: storage.HashOf("cookie of " + id), ExpiresAt: hour}, now)
		must(err, v == storage.OK)
	}
	quota := &storage.Quota{Key: storage.HashOf("address"), Block: storage.HashOf("block"), Max: 10, MaxBlock: 10}
	v, err := s.SubmitFlow(ctx, storage.Submission{
		FlowID: "flow 2", Issuer: issuer, Identity: nobody, Now: now, Quota: quota,
		Grant: &storage.Grant{
			ID: "grant 1", Issuer: issuer, ClientID: "client 3", Identity: nobody, CreatedAt: now, ExpiresAt: month, AbsoluteExpiresAt: year,
		},
		Code: &storage.Code{Hash: storage.HashOf("code"), GrantID: "grant 1", Issuer: issuer, ClientID: "client 3", Challenge: "challenge", ExpiresAt: hour},
		Browser: &storage.BrowserSession{
			Hash: storage.HashOf("session"), Quota: quota, Issuer: issuer, Identity: nobody, CreatedAt: now, ExpiresAt: month,
		},
	})
	must(err, v == storage.OK)
	claimed, err := s.ClaimCode(ctx, storage.CodeClaim{
		Hash: storage.HashOf("code"), Issuer: issuer, ClientID: "client 3", Challenge: "challenge", Issue: issue("1"), Now: now,
	})
	must(err, claimed.Verdict == storage.OK)
	rotated, err := s.RotateRefreshToken(ctx, storage.Rotation{
		Hash: storage.HashOf("refresh 1"), Issuer: issuer, ClientID: "client 3", GrantID: "grant 1", Grace: time.Minute,
		Issue: issue("2"), Replay: []byte("sealed response"), Now: now,
	})
	must(err, rotated.Verdict == storage.OK)
	_, v, err = s.Disconnect(ctx, storage.Connection{ConnectionKey: storage.ConnectionKey{Issuer: issuer, Owner: alice.Subject, Server: "linear"}}, nil, now)
	must(err, v == storage.Unknown)
	must(s.Close())
}

func issue(n string) storage.Issue {
	return storage.Issue{
		Access: storage.AccessToken{
			Hash: storage.HashOf("access " + n), GrantID: "grant 1", Issuer: issuer, ClientID: "client 3", Identity: nobody,
			Audience: []string{issuer + "/notion"}, IssuedAt: now, ExpiresAt: hour,
		},
		Refresh: &storage.RefreshToken{
			Hash: storage.HashOf("refresh " + n), GrantID: "grant 1", Issuer: issuer, ClientID: "client 3", ExpiresAt: month, Authenticated: true,
		},
		GrantExpiresAt: month,
	}
}
