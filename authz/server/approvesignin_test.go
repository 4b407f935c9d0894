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
	target, err = v.l.as.Flows.ApproveAndSignIn(w, v.form(""), f, flows.Approval{Resources: resources})
	return target, w.Result().Cookies(), err
}

// Finishing a sign-in makes the browser the person's, in the write that stores
// the grant, and whoever knew the browser's cookie before has nothing.
func TestApproveAndSignIn_I11(t *testing.T) {
	l := newLab(t)
	v := &visit{l: l}
	v.signIn(keyIdentity("team"))
	before := &visit{l: l, cookies: v.cookies}
	f := l.identified(request(), alice)
	writes := l.store.writes.Load()
	target, cookies, err := v.approveHere(f, labNotion)
	if err != nil || answer(t, target).Get("code") == "" {
		t.Fatalf("%q, %v", target, err)
	}
	if n := l.store.writes.Load() - writes; n != 1 {
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
	unanswered := func(l *lab) *flows.Flow { return l.open(l.begin(request())) }
	tests := map[string]struct {
		flow     func(*lab) *flows.Flow
		resource string
		want     error
	}{
		"nobody said who they are": {unanswered, labNotion, flows.ErrInvalid},
		"nothing on offer":         {func(l *lab) *flows.Flow { return l.identified(request(), alice) }, "https://other.example", flows.ErrChoice},
		"withdrawn": {func(l *lab) *flows.Flow {
			f := l.identified(request(), keyIdentity("team"))
			l.reload(func(c *labSite) { c.Keys = replacedKey() })
			return f
		}, labNotion, flows.ErrInvalid},
		"answered before": {func(l *lab) *flows.Flow {
			f := l.identified(request(), alice)
			if _, err := l.as.Flows.Deny(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			return f
		}, labNotion, flows.ErrSubmitted},
		"somebody else by now": {func(l *lab) *flows.Flow {
			b := l.begin(request())
			seen := l.open(b)
			if err := l.as.Flows.Identify(t.Context(), seen, alice); err != nil {
				t.Fatal(err)
			}
			if err := l.as.Flows.Identify(t.Context(), l.open(b), keyIdentity("team")); err != nil {
				t.Fatal(err)
			}
			return seen
		}, labNotion, flows.ErrChanged},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			v := &visit{l: l}
			v.signIn(storage.Identity{Kind: "user_id", Subject: "user_id:bob", Name: "bob"})
			f := tt.flow(l)
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
		l := newLab(t)
		v := &visit{l: l}
		f := l.identified(request(), alice)
		l.store.failing("SubmitFlow", func() {
			_, cookies, err := v.approveHere(f, labNotion)
			wantStatus(t, err, http.StatusServiceUnavailable)
			if len(cookies) > 0 {
				t.Error("the browser got a cookie")
			}
		})
	})
}
