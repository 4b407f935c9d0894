package server

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// wantStatus asserts that an error is answered with the status.
func wantStatus(t *testing.T, err error, status int) {
	t.Helper()
	if e := (*oauth.Error)(nil); !errors.As(err, &e) || e.Status != status {
		t.Errorf("error = %v, want status %d", err, status)
	}
}

func TestApprove_A19_AS47_AS48(t *testing.T) {
	tests := []struct{ name, redirect, want string }{
		{"plain", testRedirect, testRedirect + "?code="},
		{"with query", "https://app.example/other?keep=1", "https://app.example/other?keep=1&code="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t)
			f := ts.identified(request("redirect_uri", tt.redirect), alice)
			before := ts.store.writes.Load()
			target, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}})
			if err != nil {
				t.Fatal(err)
			}
			if n := ts.store.writes.Load() - before; n != 1 {
				t.Errorf("%d writes", n)
			}
			got := answer(t, target)
			if !strings.HasPrefix(target, tt.want) || got.Get("state") != "xyz" || got.Get("iss") != testIssuer || !strings.HasPrefix(got.Get("code"), tokens.CodePrefix) {
				t.Errorf("target = %q", target)
			}
		})
	}
}

func TestApproveGrantsWhatWasShown_I08(t *testing.T) {
	ts := newTestServer(t)
	code := ts.approved(request("scope", "mcp:use notion:admin", "resource", "-"), alice, mainResource).Get("code")
	record, err := ts.store.Code(t.Context(), storage.HashOf(code), ts.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	g, err := ts.store.Grant(t.Context(), record.GrantID, ts.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g.Resources, []string{mainResource}) || !slices.Equal(g.Scope, []string{"mcp:use"}) || g.ResourcesRequested || g.Identity != alice {
		t.Errorf("grant = %+v", g)
	}
	if g.ClientID != "app" || g.RedirectURI != testRedirect || g.ClientName != "app" || g.Issuer != testIssuer {
		t.Errorf("grant = %+v", g)
	}
}

func TestApproveRechecksTheChoice(t *testing.T) {
	tests := []struct {
		name, resource string
		who            storage.Identity
		chosen         []string
	}{
		{"nothing", "-", alice, nil},
		{"not one of ours", "-", alice, []string{"https://evil.example/mcp"}},
		{"one of ours and another", "-", alice, []string{mainResource, "https://evil.example/mcp"}},
		{"more than requested", notionResource, alice, []string{notionResource, mainResource}},
		{"more than the key allows", "-", keyIdentity("ci"), []string{mainResource}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t)
			f := ts.identified(request("resource", tt.resource), tt.who)
			_, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: tt.chosen})
			wantStatus(t, err, http.StatusBadRequest)
			if _, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: grants.ResourcesOf(ts.as.Flows.Servers(f))}); err != nil {
				t.Errorf("a wrong choice ended the flow: %v", err)
			}
		})
	}
}

func TestApproveNeedsIdentity(t *testing.T) {
	ts := newTestServer(t)
	f := ts.open(ts.begin(request()))
	if _, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}}); !errors.Is(err, flows.ErrInvalid) {
		t.Errorf("Approve = %v", err)
	}
	if _, err := ts.as.Flows.Deny(t.Context(), f); !errors.Is(err, flows.ErrInvalid) {
		t.Errorf("Deny = %v", err)
	}
	f = ts.identified(request(), keyIdentity("team"))
	ts.reload(func(c *siteConfig) { c.Keys = nil })
	if _, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}}); !errors.Is(err, flows.ErrInvalid) {
		t.Errorf("Approve with a withdrawn key = %v", err)
	}
}

func TestAnswerOnce_I09_I20(t *testing.T) {
	end := map[string]func(*testServer, *flows.Flow) (string, error){
		"approve": func(ts *testServer, f *flows.Flow) (string, error) {
			return ts.as.Flows.Approve(ts.t.Context(), f, flows.Approval{Resources: []string{notionResource}})
		},
		"deny": func(ts *testServer, f *flows.Flow) (string, error) { return ts.as.Flows.Deny(ts.t.Context(), f) },
	}
	for first, do := range end {
		for second, again := range end {
			t.Run(first+" then "+second, func(t *testing.T) {
				ts := newTestServer(t)
				b := ts.begin(request())
				f := ts.open(b)
				if err := ts.as.Flows.Identify(t.Context(), f, alice); err != nil {
					t.Fatal(err)
				}
				if _, err := do(ts, f); err != nil {
					t.Fatal(err)
				}
				if target, err := again(ts, f); !errors.Is(err, flows.ErrSubmitted) || target != "" {
					t.Errorf("%s again = %q, %v", second, target, err)
				}
				if err := ts.as.Flows.Identify(t.Context(), f, alice); !errors.Is(err, flows.ErrSubmitted) {
					t.Errorf("Identify = %v", err)
				}
				if _, err := ts.as.Flows.Open(b.get(), b.flowID); !errors.Is(err, flows.ErrSubmitted) {
					t.Errorf("OpenFlow = %v", err)
				}
			})
		}
	}
}

func TestDeny_I20_A19(t *testing.T) {
	ts := newTestServer(t)
	target, err := ts.as.Flows.Deny(t.Context(), ts.identified(request(), alice))
	if err != nil {
		t.Fatal(err)
	}
	if want := testRedirect + "?error=access_denied&iss=https%3A%2F%2Fmcp.example.com&state=xyz"; target != want {
		t.Errorf("target = %q, want %q", target, want)
	}
}

// Another tab chose another identity: what was approved is not granted to it.
func TestIdentitySwitchedMidFlow_I10(t *testing.T) {
	ts := newTestServer(t)
	b := ts.begin(request())
	seen := ts.open(b)
	if err := ts.as.Flows.Identify(t.Context(), seen, alice); err != nil {
		t.Fatal(err)
	}
	if err := ts.as.Flows.Identify(t.Context(), ts.open(b), keyIdentity("team")); err != nil {
		t.Fatal(err)
	}
	if target, err := ts.as.Flows.Approve(t.Context(), seen, flows.Approval{Resources: []string{notionResource}}); !errors.Is(err, flows.ErrChanged) || target != "" {
		t.Errorf("Approve = %q, %v", target, err)
	}
	if _, err := ts.as.Flows.Approve(t.Context(), ts.open(b), flows.Approval{Resources: []string{notionResource}}); err != nil {
		t.Errorf("the page of the new identity: %v", err)
	}
}

func TestFlowStoreDown_A19(t *testing.T) {
	ts := newTestServer(t)
	b := ts.begin(request())
	f := ts.identified(request(), alice)
	ts.store.failing("*", func() {
		_, err := ts.as.Flows.Open(b.get(), b.flowID)
		wantStatus(t, err, http.StatusServiceUnavailable)
		wantStatus(t, ts.as.Flows.Identify(t.Context(), f, alice), http.StatusServiceUnavailable)
		target, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}})
		wantStatus(t, err, http.StatusServiceUnavailable)
		if target != "" {
			t.Errorf("target = %q", target)
		}
		_, err = ts.as.Flows.Deny(t.Context(), f)
		wantStatus(t, err, http.StatusServiceUnavailable)
	})
	if _, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}}); err != nil {
		t.Errorf("after the failure: %v", err)
	}
}
