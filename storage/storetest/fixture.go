package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	issuer      = "https://mcp.example.com"
	otherIssuer = "https://other.example.com"
	redirectURI = "http://127.0.0.1/callback"
	challenge   = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	resource    = "https://mcp.example.com/mcp"
	grace       = time.Minute
)

var alice = storage.Identity{Kind: "user_id", Subject: "user_id:alice", Name: "alice"}

// fixture is one store under test, with a clock that only the test moves.
type fixture struct {
	*testing.T
	store storage.Store
	now   time.Time
}

func newFixture(t *testing.T, s storage.Store) *fixture {
	return &fixture{T: t, store: s, now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
}

func (f *fixture) after(d time.Duration) { f.now = f.now.Add(d) }

// must fails the test on an error.
func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// is compares an error with the one that is wanted.
func (f *fixture) is(got, want error) {
	f.Helper()
	if got != want {
		f.Fatalf("error %v, want %v", got, want)
	}
}

// verdict compares a verdict, and fails on an error.
func (f *fixture) verdict(got storage.Verdict, err error, want storage.Verdict) {
	f.Helper()
	if err != nil || got != want {
		f.Fatalf("verdict %v, %v; want %v", got, err, want)
	}
}

// equal compares what was read with what was written.
func (f *fixture) equal(got, want any) {
	f.Helper()
	if !reflect.DeepEqual(got, want) {
		f.Fatalf("got\n%+v\nwant\n%+v", got, want)
	}
}

func ctx() context.Context { return context.Background() }

// hash names the secrets of a test.
func hash(format string, args ...any) storage.Hash {
	return storage.HashOf(fmt.Sprintf(format, args...))
}

func (f *fixture) client(id string) storage.Client {
	return storage.Client{
		ID:                    id,
		Issuer:                issuer,
		Metadata:              json.RawMessage(`{"client_name":"` + id + `"}`),
		RegistrationTokenHash: hash("registration token of %s", id),
		CreatedAt:             f.now,
		ExpiresAt:             f.now.Add(24 * time.Hour),
	}
}

// register stores a client.
func (f *fixture) register(id string) storage.Client {
	f.Helper()
	c := f.client(id)
	f.must(f.store.CreateClient(ctx(), c, storage.Unused{}))
	return c
}

func (f *fixture) flow(id string) storage.Flow {
	return storage.Flow{ID: id, Issuer: issuer, Identity: alice, ExpiresAt: f.now.Add(15 * time.Minute)}
}

// submission approves the flow: grant g-<id> with code hash("code <id>").
func (f *fixture) submission(id, clientID string) storage.Submission {
	return storage.Submission{
		FlowID: id, Issuer: issuer, Identity: alice, KeepClient: time.Hour, Now: f.now,
		Grant: &storage.Grant{
			ID: "g-" + id, Issuer: issuer, ClientID: clientID, Identity: alice,
			Scope: []string{"mcp:use"}, Resources: []string{resource}, RedirectURI: redirectURI,
			ClientName: "A client", CreatedAt: f.now, LastUsedAt: f.now,
			ExpiresAt: f.now.Add(24 * time.Hour), AbsoluteExpiresAt: f.now.Add(90 * 24 * time.Hour),
		},
		Code: &storage.Code{
			Hash: hash("code %s", id), GrantID: "g-" + id, Issuer: issuer, ClientID: clientID,
			RedirectURI: redirectURI, Challenge: challenge, ExpiresAt: f.now.Add(5 * time.Minute),
		},
	}
}

// approve takes a flow to its grant and code.
func (f *fixture) approve(id, clientID string) storage.Submission {
	f.Helper()
	v, err := f.store.SaveFlow(ctx(), f.flow(id), f.now)
	f.verdict(v, err, storage.OK)
	sub := f.submission(id, clientID)
	v, err = f.store.SubmitFlow(ctx(), sub)
	f.verdict(v, err, storage.OK)
	return sub
}

// issue is the token response number n of a grant.
func (f *fixture) issue(id, clientID string, n int) storage.Issue {
	return storage.Issue{
		Access: storage.AccessToken{
			Hash: hash("access %s %d", id, n), GrantID: "g-" + id, Issuer: issuer, ClientID: clientID,
			Identity: alice, Scope: []string{"mcp:use"}, Audience: []string{resource},
			IssuedAt: f.now, ExpiresAt: f.now.Add(time.Hour),
		},
		Refresh: &storage.RefreshToken{
			Hash: hash("refresh %s %d", id, n), GrantID: "g-" + id, Issuer: issuer, ClientID: clientID,
			ExpiresAt: f.now.Add(30 * 24 * time.Hour),
		},
		GrantExpiresAt: f.now.Add(30 * 24 * time.Hour),
	}
}

func (f *fixture) claim(id, clientID string) storage.CodeClaim {
	return storage.CodeClaim{
		Hash: hash("code %s", id), Issuer: issuer, ClientID: clientID, RedirectURI: redirectURI,
		Challenge: challenge, Issue: f.issue(id, clientID, 0), Now: f.now,
	}
}

// signIn takes a flow to its first tokens.
func (f *fixture) signIn(id, clientID string) storage.Grant {
	f.Helper()
	f.approve(id, clientID)
	res, err := f.store.ClaimCode(ctx(), f.claim(id, clientID))
	f.verdict(res.Verdict, err, storage.OK)
	return res.Grant
}

// rotation exchanges refresh token n-1 of a grant for n.
func (f *fixture) rotation(id, clientID string, n int) storage.Rotation {
	return storage.Rotation{
		Hash: hash("refresh %s %d", id, n-1), Issuer: issuer, ClientID: clientID, Grace: grace,
		Issue: f.issue(id, clientID, n), Replay: fmt.Appendf(nil, "response %s %d", id, n), Now: f.now,
	}
}

// rotate makes the rotation and expects a verdict.
func (f *fixture) rotate(r storage.Rotation, want storage.Verdict) storage.RotationResult {
	f.Helper()
	res, err := f.store.RotateRefreshToken(ctx(), r)
	f.verdict(res.Verdict, err, want)
	return res
}

// accessLives tells whether access token n of a grant works.
func (f *fixture) accessLives(id string, n int, want bool) {
	f.Helper()
	_, err := f.store.AccessToken(ctx(), hash("access %s %d", id, n), f.now)
	if err != nil && err != storage.ErrNotFound {
		f.Fatal(err)
	}
	if got := err == nil; got != want {
		f.Fatalf("access token %d of %s lives: %t, want %t", n, id, got, want)
	}
}

// revoked checks that a grant is revoked.
func (f *fixture) revoked(id string) {
	f.Helper()
	g, err := f.store.Grant(ctx(), "g-"+id, f.now)
	f.must(err)
	if g.RevokedAt.IsZero() {
		f.Fatalf("grant of %s stands", id)
	}
}
