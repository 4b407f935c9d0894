package move_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const issuer = "https://gw.example"

// filling stores records of every kind, through the verbs that store them.
type filling struct {
	*testing.T
	storage.Store
	now time.Time
	ctx context.Context
}

// fill leaves n of nearly each kind, some of them in each state that there is.
func fill(t *testing.T, p place, n int, now time.Time) {
	t.Helper()
	s, err := p.store()
	if err != nil {
		t.Fatal(err)
	}
	f := &filling{t, s, now, context.Background()}
	for i := range n {
		f.one(i)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func (f *filling) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *filling) ok(v storage.Verdict, err error) {
	f.Helper()
	if f.must(err); v != storage.OK {
		f.Fatalf("verdict %v, want OK", v)
	}
}

func name(kind string, i int) string { return fmt.Sprint(kind, " ", i) }

// hash and digest are of names.
func hash(kind string, i int) storage.Hash { return storage.HashOf(name(kind, i)) }

func alice(i int) storage.Identity {
	return storage.Identity{Kind: "virtual_key", Subject: name("virtual_key:alice", i), Name: "alice", Proof: "key"}
}

func (f *filling) one(i int) {
	f.Helper()
	f.clientAndGrant(i)
	f.connections(i)
	f.others(i)
}

// clientAndGrant leaves grants with and without quota, codes that are claimed or not,
// refresh tokens that were rotated, grants that are revoked.
func (f *filling) clientAndGrant(i int) {
	f.Helper()
	sender := hash("sender", i%3)
	f.must(f.CreateClient(f.ctx, storage.Client{
		ID: name("client", i), Issuer: issuer, Metadata: json.RawMessage(`{"client_name":"<&>"}`), Sender: &sender,
		CreatedAt: f.now, ExpiresAt: f.now.Add(time.Hour),
	}, storage.Unused{}))
	f.must(f.CreateClient(f.ctx, storage.Client{ID: name("unused", i), Issuer: issuer, Metadata: json.RawMessage(`{}`), CreatedAt: f.now, ExpiresAt: f.now.Add(time.Hour)}, storage.Unused{}))
	who := alice(i)
	f.ok(f.SaveFlow(f.ctx, storage.Flow{ID: name("flow", i), Issuer: issuer, Identity: who, Browser: hash("cookie", i), ExpiresAt: f.now.Add(time.Hour)}, f.now))
	sub := storage.Submission{
		FlowID: name("flow", i), Issuer: issuer, Identity: who, Now: f.now, KeepClient: time.Hour,
		Grant: &storage.Grant{
			ID: name("grant", i), Issuer: issuer, ClientID: name("client", i), Identity: who, Scope: []string{"a", "b"}, Resources: []string{issuer + "/mcp"},
			CreatedAt: f.now, ExpiresAt: f.now.Add(24 * time.Hour), AbsoluteExpiresAt: f.now.Add(48 * time.Hour), LastUsedAt: f.now,
		},
		Code: &storage.Code{
			Hash: hash("code", i), GrantID: name("grant", i), Issuer: issuer, ClientID: name("client", i), RedirectURI: "http://127.0.0.1/cb", Challenge: "challenge", ExpiresAt: f.now.Add(time.Minute),
		},
		Browser: &storage.SignIn{BrowserSession: storage.BrowserSession{Hash: hash("session", i), Issuer: issuer, Identity: who, CreatedAt: f.now, ExpiresAt: f.now.Add(time.Hour)}},
	}
	if i%2 == 0 {
		sub.Quota = &storage.Quota{Key: hash("address", i%3), Block: hash("block", 0), Max: 1000, MaxBlock: 1000}
		sub.Browser.Quota = sub.Quota
	}
	f.ok(f.SubmitFlow(f.ctx, sub))
	if i%5 == 4 {
		return // the code is not claimed
	}
	res, err := f.ClaimCode(f.ctx, storage.CodeClaim{Hash: hash("code", i), Issuer: issuer, ClientID: name("client", i), Challenge: "challenge", Now: f.now, Issue: f.issue(i, 0)})
	f.ok(res.Verdict, err)
	if i%5 > 0 {
		rotated, err := f.RotateRefreshToken(f.ctx, storage.Rotation{
			Hash: hash("refresh 0", i), Issuer: issuer, ClientID: name("client", i), Grace: time.Minute, GrantID: name("grant", i),
			Issue: f.issue(i, 1), Replay: []byte(name("replay", i)), Now: f.now,
		})
		f.ok(rotated.Verdict, err)
	}
	if i%5 == 3 {
		_, err := f.RevokeGrant(f.ctx, name("grant", i), f.now)
		f.must(err)
	}
}

func (f *filling) issue(i, generation int) storage.Issue {
	g := name("grant", i)
	return storage.Issue{
		Access: storage.AccessToken{
			Hash: hash(name("access", generation), i), GrantID: g, Issuer: issuer, ClientID: name("client", i), Identity: alice(i),
			Scope: []string{"a"}, Audience: []string{issuer + "/mcp"}, IssuedAt: f.now, ExpiresAt: f.now.Add(time.Hour),
		},
		Refresh: &storage.RefreshToken{
			Hash: hash(name("refresh", generation), i), GrantID: g, Issuer: issuer, ClientID: name("client", i), ExpiresAt: f.now.Add(24 * time.Hour),
		},
		GrantExpiresAt: f.now.Add(24 * time.Hour),
	}
}

// connections leaves accounts: active, leased, disconnected, of a flow.
func (f *filling) connections(i int) {
	f.Helper()
	k := storage.ConnectionKey{Issuer: issuer, Owner: alice(i).Subject, Server: "tracker"}
	c := storage.ConnectionReplacement{Connection: storage.Connection{
		ConnectionKey: k, ID: name("connection", i), State: storage.Active, Secret: []byte(name("sealed", i)), Scopes: []string{"s"}, CreatedAt: f.now, UpdatedAt: f.now, TokenExpiresAt: f.now.Add(time.Hour),
	}}
	stored, v, err := f.ReplaceConnection(f.ctx, c, f.now)
	f.ok(v, err)
	revocation := storage.ProviderRevocation{ID: name("revocation", i), Issuer: issuer, Server: "tracker", Secret: []byte("sealed"), DueAt: f.now, ExpiresAt: f.now.Add(24 * time.Hour)}
	switch i % 3 {
	case 0:
		_, v, err = f.LeaseConnection(f.ctx, stored, "holder", f.now.Add(time.Minute), f.now)
		f.ok(v, err)
	case 1:
		_, v, err = f.Disconnect(f.ctx, stored, &revocation, f.now)
		f.ok(v, err)
	}
	own := c
	own.Owner, own.ID, own.ExpiresAt = storage.FlowOwner(name("flow", i)), name("of flow", i), f.now.Add(time.Minute)
	revocation.ID = name("on expiry", i)
	own.OnExpiry = &revocation
	_, v, err = f.ReplaceConnection(f.ctx, own, f.now)
	f.ok(v, err)
	f.must(f.SaveConnectState(f.ctx, storage.ConnectState{Hash: hash("state", i), ConnectionKey: k, Browser: hash("cookie", i), Provider: "https://idp.example", Secret: []byte("sealed"), ExpiresAt: f.now.Add(time.Minute)}))
	f.ok(f.PutUpstreamClient(f.ctx, storage.UpstreamClient{Issuer: issuer, Provider: name("https://idp", i), Server: "tracker", Secret: []byte("sealed"), CreatedAt: f.now}, nil, f.now))
}

func (f *filling) others(i int) {
	f.Helper()
	_, v, err := f.SavePerson(f.ctx, storage.PersonLogin{Person: storage.Person{
		Issuer: issuer, Subject: name("oidc:carol", i), Kind: "oidc", ID: name("person", i), Claims: &storage.Claims{Email: "carol@example.com", Extra: map[string]json.RawMessage{"a": json.RawMessage(`"<"`)}},
		Secret: []byte("sealed"), SignedInAt: f.now, VerifiedAt: f.now, DueAt: f.now.Add(time.Duration(i%2) * time.Minute), ExpiresAt: f.now.Add(24 * time.Hour),
	}}, f.now)
	f.ok(v, err)
	_, v, err = f.PutVirtualKey(f.ctx, storage.VirtualKey{Issuer: issuer, Look: name("dave", i), Name: name("Dave", i), Hash: hash("key", i), CreatedAt: f.now})
	f.ok(v, err)
	f.must(f.PutSiteValue(f.ctx, storage.SiteValue{Issuer: issuer, Name: name("value", i), Text: "text", ExpiresAt: f.now.Add(time.Hour)}))
	_, err = f.UseOnce(f.ctx, hash("jti", i), f.now.Add(time.Hour), f.now)
	f.must(err)
}
