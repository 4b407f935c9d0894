package server

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A client of the first revisions names no resource (RFC 8707). Then the person
// chooses, and the token is good for exactly that: nothing is taken for granted
// because it was on offer.
func TestResourceOmitted_F02(t *testing.T) {
	const third = testIssuer + "/mcp/third"
	all := []string{notionResource, mainResource, third}
	for name, tt := range map[string]struct {
		chosen  []string
		atToken string // the resource that the token request names
		want    []string
	}{
		"the first":                         {[]string{notionResource}, "-", []string{notionResource}},
		"the last":                          {[]string{third}, "-", []string{third}},
		"two of three":                      {[]string{notionResource, third}, "-", []string{notionResource, third}},
		"all":                               {all, "-", all},
		"two, and the token for one":        {[]string{notionResource, third}, third, []string{third}},
		"one, and the token for another":    {[]string{notionResource}, mainResource, nil},
		"two, and the token for a third":    {[]string{notionResource, third}, mainResource, nil},
		"one, and the token for a stranger": {[]string{notionResource}, "https://other.example/mcp", nil},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, func(c *siteConfig) {
				c.Servers = append(slices.Clone(c.Servers), &config.Server{ID: "third", Path: "/mcp/third", Resource: third, Scopes: []string{"mcp:use"}})
			})
			code := ts.approved(request("resource", "-"), alice, tt.chosen...).Get("code")
			got := ts.redeem("app", code, "resource", tt.atToken)
			if tt.want == nil {
				ts.want(got, http.StatusBadRequest, "invalid_target")
				if got.Access != "" {
					t.Error("there is a token all the same")
				}
				return
			}
			ts.want(got, http.StatusOK, "")
			record, err := ts.store.AccessToken(t.Context(), storage.HashOf(got.Access), ts.clock.Now())
			if err != nil || !slices.Equal(record.Audience, tt.want) {
				t.Errorf("audience %q, want %q; %v", record.Audience, tt.want, err)
			}
			for _, s := range ts.as.cfg.Servers {
				want := http.StatusUnauthorized
				if slices.Contains(tt.want, s.Resource) {
					want = http.StatusOK
				}
				if status, _ := ts.through(s.ID, got.Access); status != want {
					t.Errorf("%s: %d, want %d", s.ID, status, want)
				}
			}
		})
	}
}

// Who chooses nothing, or what is not on offer, gets nothing: there is no
// default among several.
func TestResourceOmittedAndNoneChosen_F02(t *testing.T) {
	for name, chosen := range map[string][]string{
		"nothing": nil, "an empty one": {""}, "a stranger's": {"https://other.example/mcp"}, "one on offer and another": {notionResource, notionResource + "2"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			f := ts.identified(request("resource", "-"), alice)
			if offered := grants.ResourcesOf(ts.as.Flows.Servers(f)); len(offered) != 2 {
				t.Fatalf("the page asks for %q", offered)
			}
			writes := ts.store.writes.Load()
			target, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: chosen})
			if !errors.Is(err, flows.ErrChoice) || target != "" {
				t.Errorf("%q, %v", target, err)
			}
			if ts.store.writes.Load() != writes {
				t.Error("something was stored")
			}
		})
	}
	t.Run("the only one", func(t *testing.T) {
		ts := newTestServer(t, func(c *siteConfig) { c.Servers = slices.Clone(c.Servers[:1]) })
		f := ts.identified(request("resource", "-"), alice)
		if offered := grants.ResourcesOf(ts.as.Flows.Servers(f)); !slices.Equal(offered, []string{notionResource}) {
			t.Errorf("the page asks for %q", offered)
		}
		got := ts.redeem("app", ts.approved(request("resource", "-"), alice).Get("code"), "resource", "-")
		record, err := ts.store.AccessToken(t.Context(), storage.HashOf(got.Access), ts.clock.Now())
		if err != nil || !slices.Equal(record.Audience, []string{notionResource}) {
			t.Errorf("audience %q, %v", record.Audience, err)
		}
	})
}
