package suite

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
	Issuer      = "https://mcp.example.com"
	OtherIssuer = "https://other.example.com"
	redirectURI = "http://127.0.0.1/callback"
	Challenge   = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	Resource    = "https://mcp.example.com/mcp"
	Grace       = time.Minute
)

var Alice = storage.Identity{Kind: "user_id", Subject: "user_id:alice", Name: "alice"}

// Fixture is one store under test, with a clock that only the test moves.
type Fixture struct {
	*testing.T
	Store storage.Store
	Now   time.Time
}

// NewFixture returns a fixture on a store.
func NewFixture(t *testing.T, s storage.Store) *Fixture {
	return &Fixture{T: t, Store: s, Now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
}

// Clone returns a fixture on the same store, with a clock of its own.
func (f *Fixture) Clone() *Fixture {
	clone := *f
	return &clone
}

func (f *Fixture) After(d time.Duration) { f.Now = f.Now.Add(d) }

// Must fails the test on an error.
func (f *Fixture) Must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// WantError compares an error with the one that is wanted.
func (f *Fixture) WantError(got, want error) {
	f.Helper()
	if got != want {
		f.Fatalf("error %v, want %v", got, want)
	}
}

// Verdict compares a verdict, and fails on an error.
func (f *Fixture) Verdict(got storage.Verdict, err error, want storage.Verdict) {
	f.Helper()
	if err != nil || got != want {
		f.Fatalf("verdict %v, %v; want %v", got, err, want)
	}
}

// Equal compares what was read with what was written.
func (f *Fixture) Equal(got, want any) {
	f.Helper()
	if !reflect.DeepEqual(got, want) {
		f.Fatalf("got\n%+v\nwant\n%+v", got, want)
	}
}

func Ctx() context.Context { return context.Background() }

// Hash names the secrets of a test.
func Hash(format string, args ...any) storage.Hash {
	return storage.HashOf(fmt.Sprintf(format, args...))
}

func (f *Fixture) Client(id string) storage.Client {
	return storage.Client{
		ID:                    id,
		Issuer:                Issuer,
		Metadata:              json.RawMessage(`{"client_name":"` + id + `"}`),
		RegistrationTokenHash: Hash("registration token of %s", id),
		CreatedAt:             f.Now,
		ExpiresAt:             f.Now.Add(24 * time.Hour),
	}
}

// Register stores a client.
func (f *Fixture) Register(id string) storage.Client {
	f.Helper()
	c := f.Client(id)
	f.Must(f.Store.CreateClient(Ctx(), c, storage.Unused{}))
	return c
}

func (f *Fixture) Flow(id string) storage.Flow {
	return storage.Flow{ID: id, Issuer: Issuer, Identity: Alice, ExpiresAt: f.Now.Add(15 * time.Minute)}
}

// Submission approves the flow: grant g-<id> with code hash("code <id>").
func (f *Fixture) Submission(id, clientID string) storage.Submission {
	return storage.Submission{
		FlowID: id, Issuer: Issuer, Identity: Alice, KeepClient: time.Hour, Now: f.Now,
		Grant: &storage.Grant{
			ID: "g-" + id, Issuer: Issuer, ClientID: clientID, Identity: Alice,
			Scope: []string{"mcp:use"}, Resources: []string{Resource}, RedirectURI: redirectURI,
			ClientName: "A client", CreatedAt: f.Now, LastUsedAt: f.Now,
			ExpiresAt: f.Now.Add(24 * time.Hour), AbsoluteExpiresAt: f.Now.Add(90 * 24 * time.Hour),
		},
		Code: &storage.Code{
			Hash: Hash("code %s", id), GrantID: "g-" + id, Issuer: Issuer, ClientID: clientID,
			RedirectURI: redirectURI, Challenge: Challenge, ExpiresAt: f.Now.Add(5 * time.Minute),
		},
	}
}

// Approve takes a flow to its grant and code.
func (f *Fixture) Approve(id, clientID string) storage.Submission {
	f.Helper()
	v, err := f.Store.SaveFlow(Ctx(), f.Flow(id), f.Now)
	f.Verdict(v, err, storage.OK)
	sub := f.Submission(id, clientID)
	v, err = f.Store.SubmitFlow(Ctx(), sub)
	f.Verdict(v, err, storage.OK)
	return sub
}

// Issue is the token response number n of a grant.
func (f *Fixture) Issue(id, clientID string, n int) storage.Issue {
	return storage.Issue{
		Access: storage.AccessToken{
			Hash: Hash("access %s %d", id, n), GrantID: "g-" + id, Issuer: Issuer, ClientID: clientID,
			Identity: Alice, Scope: []string{"mcp:use"}, Audience: []string{Resource},
			IssuedAt: f.Now, ExpiresAt: f.Now.Add(time.Hour),
		},
		Refresh: &storage.RefreshToken{
			Hash: Hash("refresh %s %d", id, n), GrantID: "g-" + id, Issuer: Issuer, ClientID: clientID,
			ExpiresAt: f.Now.Add(30 * 24 * time.Hour),
		},
		GrantExpiresAt: f.Now.Add(30 * 24 * time.Hour),
	}
}

func (f *Fixture) Claim(id, clientID string) storage.CodeClaim {
	return storage.CodeClaim{
		Hash: Hash("code %s", id), Issuer: Issuer, ClientID: clientID, RedirectURI: redirectURI,
		Challenge: Challenge, Issue: f.Issue(id, clientID, 0), Now: f.Now,
	}
}

// Service is a program that gets tokens for itself.
var Service = storage.Identity{Kind: "client", Subject: "client:batch", Name: "batch", Proof: "1"}

// ServiceGrant is the grant g-<id> of Service, with the access token hash("access <id> 0").
func (f *Fixture) ServiceGrant(id string, most int) storage.ServiceGrant {
	end := f.Now.Add(10 * time.Minute)
	g := storage.Grant{
		ID: "g-" + id, Issuer: Issuer, ClientID: "batch", Identity: Service, Scope: []string{"mcp:use"}, Resources: []string{Resource},
		ClientName: "Batch", CreatedAt: f.Now, LastUsedAt: f.Now, ExpiresAt: end, AbsoluteExpiresAt: end,
	}
	return storage.ServiceGrant{Grant: g, Max: most, Now: f.Now, Access: storage.AccessToken{
		Hash: Hash("access %s 0", id), GrantID: g.ID, Issuer: Issuer, ClientID: g.ClientID, Identity: Service,
		Scope: g.Scope, Audience: g.Resources, IssuedAt: f.Now, ExpiresAt: end,
	}}
}

// SignIn takes a flow to its first tokens.
func (f *Fixture) SignIn(id, clientID string) storage.Grant {
	f.Helper()
	f.Approve(id, clientID)
	res, err := f.Store.ClaimCode(Ctx(), f.Claim(id, clientID))
	f.Verdict(res.Verdict, err, storage.OK)
	return res.Grant
}

// Rotation exchanges refresh token n-1 of a grant for n.
func (f *Fixture) Rotation(id, clientID string, n int) storage.Rotation {
	return storage.Rotation{
		Hash: Hash("refresh %s %d", id, n-1), Issuer: Issuer, ClientID: clientID, Grace: Grace,
		Issue: f.Issue(id, clientID, n), Replay: fmt.Appendf(nil, "response %s %d", id, n), Now: f.Now,
	}
}

// Rotate makes the rotation and expects a verdict.
func (f *Fixture) Rotate(r storage.Rotation, want storage.Verdict) storage.RotationResult {
	f.Helper()
	res, err := f.Store.RotateRefreshToken(Ctx(), r)
	f.Verdict(res.Verdict, err, want)
	return res
}

// AccessLives tells whether access token n of a grant works.
func (f *Fixture) AccessLives(id string, n int, want bool) {
	f.Helper()
	_, err := f.Store.AccessToken(Ctx(), Hash("access %s %d", id, n), f.Now)
	if err != nil && err != storage.ErrNotFound {
		f.Fatal(err)
	}
	if got := err == nil; got != want {
		f.Fatalf("access token %d of %s lives: %t, want %t", n, id, got, want)
	}
}

// Revoked checks that a grant is revoked.
func (f *Fixture) Revoked(id string) {
	f.Helper()
	g, err := f.Store.Grant(Ctx(), "g-"+id, f.Now)
	f.Must(err)
	if g.RevokedAt.IsZero() {
		f.Fatalf("grant of %s is valid", id)
	}
}

// Wants makes another verdict an error.
func Wants(want storage.Verdict) func(storage.Verdict, error) error {
	return func(got storage.Verdict, err error) error {
		if err == nil && got != want {
			err = fmt.Errorf("verdict %v, want %v", got, want)
		}
		return err
	}
}
