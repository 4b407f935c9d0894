package server

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// The record of one access token in the place of another's makes it nobody's: at the
// gate, at introspection, and for a stream that is open already.
func TestSwappedAccessToken_M02(t *testing.T) {
	for name, format := range map[string]func(*siteConfig){"opaque": func(*siteConfig) {}, "JWT": signsTokens} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, format)
			mine, theirs := ts.signedIn(), ts.redeem("web", ts.approved(request("client_id", "web"), alice).Get("code"))
			for _, got := range []reply{mine, theirs} {
				if status := ts.calls("notion", got.Access); status != http.StatusOK {
					t.Fatalf("status %d before", status)
				}
			}
			s := ts.as.Config().Server("notion")
			caller, _ := call(ts.as.Gate(s, nil), "POST", s.Resource, authHeader, "Bearer "+mine.Access)
			if !ts.as.Gate(s, nil).Recheck(caller) {
				t.Fatal("a stream ends before")
			}
			ts.store.Store = swapped{ts.store.Store, storage.HashOf(mine.Access), storage.HashOf(theirs.Access)}
			ts.clock.Advance(tokens.TTL + 1)
			if ts.as.Gate(s, nil).Recheck(caller) {
				t.Error("a stream goes on as somebody else's")
			}
			for _, got := range []reply{mine, theirs} {
				for range 2 { // the second time it would be remembered
					if status := ts.calls("notion", got.Access); status != http.StatusUnauthorized {
						t.Errorf("status %d, want 401", status)
					}
				}
			}
			if got := ts.introspect("inspector", mine.Access); got.Active {
				t.Errorf("introspected: %s", got.body)
			}
		})
	}
}

// swapped is a store in which somebody swapped the records of two access tokens.
type swapped struct {
	storage.Store
	a, b storage.Hash
}

func (s swapped) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	other := map[storage.Hash]storage.Hash{s.a: s.b, s.b: s.a}[h]
	t, err := s.Store.AccessToken(ctx, other, now)
	t.Hash = h
	return t, err
}

// One browser session in the place of another's makes it nobody's.
func TestSwappedBrowserSession_M02(t *testing.T) {
	ts := newTestServer(t)
	other := alice
	other.Subject, other.Name = "virtual_key:team", "team"
	mine, theirs := &visit{ts: ts}, &visit{ts: ts}
	mine.signIn(alice)
	theirs.signIn(other)
	cookie := func(v *visit) storage.Hash { return ts.as.Sessions.Of(v.form("")) }
	for _, v := range []*visit{mine, theirs} {
		if s, _, err := v.load(); err != nil || s.Identity == nil {
			t.Fatalf("%+v, %v before", s, err)
		}
	}
	ts.store.Store = swapped{ts.store.Store, cookie(mine), cookie(theirs)}
	for _, v := range []*visit{mine, theirs} {
		if s, _, err := v.load(); err != nil || s.Identity != nil {
			t.Errorf("signed in as %+v, %v", s.Identity, err)
		}
		if known, err := ts.as.Sessions.Known(v.form("")); known != nil || err != nil {
			t.Errorf("known as %+v, %v", known, err)
		}
	}
}

func (s swapped) BrowserSession(ctx context.Context, h storage.Hash, now time.Time) (storage.BrowserSession, error) {
	other := map[storage.Hash]storage.Hash{s.a: s.b, s.b: s.a}[h]
	b, err := s.Store.BrowserSession(ctx, other, now)
	b.Hash = h
	return b, err
}
