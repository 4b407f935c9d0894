package server

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// approveHere approves the flow in the browser of the visit.
func (v *visit) approveHere(f *flows.Flow, resources ...string) (target string, cookies []*http.Cookie, err error) {
	w := httptest.NewRecorder()
	target, err = v.ts.as.Flows.ApproveAndSignIn(w, v.form(""), f, flows.Approval{Resources: resources})
	return target, w.Result().Cookies(), err
}

// Finishing a sign-in makes the browser the person's, in the write that stores
// the grant, and whoever knew the browser's cookie before has nothing.
func TestApproveAndSignIn_I11(t *testing.T) {
	ts := newTestServer(t)
	v := &visit{ts: ts}
	v.signIn(keyIdentity("team"))
	before := &visit{ts: ts, cookies: v.cookies}
	f := ts.identified(request(), alice)
	writes := ts.store.writes.Load()
	target, cookies, err := v.approveHere(f, notionResource)
	if err != nil || answer(t, target).Get("code") == "" {
		t.Fatalf("%q, %v", target, err)
	}
	if n := ts.store.writes.Load() - writes; n != 1 {
		t.Errorf("%d writes", n)
	}
	if len(cookies) != 1 || cookies[0].MaxAge != 30*24*3600 {
		t.Fatalf("cookies = %v", cookies)
	}
	v.cookies = cookies
	if v.subject() != alice.Subject {
		t.Error("the browser is not the person's")
	}
	if before.subject() != "" {
		t.Error("the cookie from before still works")
	}
}

// What is not approved signs nobody in, and out of nothing.
func TestApproveRefusedSignsNobodyIn_I10(t *testing.T) {
	unanswered := func(ts *testServer) *flows.Flow { return ts.open(ts.begin(request())) }
	tests := map[string]struct {
		flow     func(*testServer) *flows.Flow
		resource string
		want     error
	}{
		"nobody said who they are": {unanswered, notionResource, flows.ErrInvalid},
		"nothing on offer":         {func(ts *testServer) *flows.Flow { return ts.identified(request(), alice) }, "https://other.example", flows.ErrChoice},
		"withdrawn": {func(ts *testServer) *flows.Flow {
			f := ts.identified(request(), keyIdentity("team"))
			ts.reload(func(c *siteConfig) { c.Keys = replacedKey() })
			return f
		}, notionResource, flows.ErrInvalid},
		"answered before": {func(ts *testServer) *flows.Flow {
			f := ts.identified(request(), alice)
			if _, err := ts.as.Flows.Deny(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			return f
		}, notionResource, flows.ErrSubmitted},
		"somebody else by now": {func(ts *testServer) *flows.Flow {
			b := ts.begin(request())
			seen := ts.open(b)
			if err := ts.as.Flows.Identify(t.Context(), seen, alice); err != nil {
				t.Fatal(err)
			}
			if err := ts.as.Flows.Identify(t.Context(), ts.open(b), keyIdentity("team")); err != nil {
				t.Fatal(err)
			}
			return seen
		}, notionResource, flows.ErrChanged},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			v := &visit{ts: ts}
			v.signIn(storage.Identity{Kind: "user_id", Subject: "user_id:bob", Name: "bob"})
			f := tt.flow(ts)
			target, cookies, err := v.approveHere(f, tt.resource)
			if !errors.Is(err, tt.want) || target != "" || len(cookies) > 0 {
				t.Fatalf("%q, %v, %v", target, cookies, err)
			}
			if v.subject() != "user_id:bob" {
				t.Error("the browser is not who it was")
			}
		})
	}
	t.Run("store down", func(t *testing.T) {
		ts := newTestServer(t)
		v := &visit{ts: ts}
		f := ts.identified(request(), alice)
		ts.store.failing("SubmitFlow", func() {
			_, cookies, err := v.approveHere(f, notionResource)
			wantStatus(t, err, http.StatusServiceUnavailable)
			if len(cookies) > 0 {
				t.Error("the browser got a cookie")
			}
		})
	})
}
