package accounts

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// An account of another domain than is expected is refused, and nothing is kept of
// it; so is one of which the provider tells nothing.
func TestExpectDomain(t *testing.T) {
	for name, tt := range map[string]struct {
		tells oauthtest.Object
		want  client.Problem
	}{
		"right":                     {oauthtest.Object{"email": "jane@Example.com"}, ""},
		"another of those":          {oauthtest.Object{"email": "jane@example.org"}, ""},
		"wrong":                     {oauthtest.Object{"email": "jane@gmail.example"}, WrongAccount},
		"below it":                  {oauthtest.Object{"email": "jane@mail.example.com"}, WrongAccount},
		"ends like it":              {oauthtest.Object{"email": "jane@badexample.com"}, WrongAccount},
		"two addresses in one":      {oauthtest.Object{"email": "jane@gmail.example@example.com"}, AccountUntold},
		"a comment":                 {oauthtest.Object{"email": "jane@gmail.example(@example.com)"}, AccountUntold},
		"another letter that folds": {oauthtest.Object{"email": "jane@\u0435xample.com"}, AccountUntold},
		"told nothing":              {oauthtest.Object{}, AccountUntold},
		"a name that is no address": {oauthtest.Object{"email": "example.com"}, AccountUntold},
		"nothing that is a text":    {oauthtest.Object{"email": true}, AccountUntold},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, func(_ *config.Site, s *config.Server) {
				s.Auth.AccountName, s.Auth.ExpectDomain = []string{"email"}, []string{"example.com", "example.org"}
			})
			g.provider.Page("/token", tokensWith(tt.tells))
			_, err := g.Finish(t.Context(), g.answerTo(g.start(g.request())))
			var problem *client.Error
			if errors.As(err, &problem); tt.want == "" && err != nil || tt.want != "" && (problem == nil || problem.Problem != tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "jane") {
				t.Errorf("the log would have the account: %v", err)
			}
			made, err := g.store.ConnectionsOf(t.Context(), testIssuer, testOwner, g.clock.Now())
			if err != nil || len(made) != map[bool]int{true: 1}[tt.want == ""] {
				t.Errorf("kept %v, %v", made, err)
			}
		})
	}
}

// A person has at most so many accounts at a server; those that they have can be
// connected again.
func TestMaxAccounts(t *testing.T) {
	g := newGateway(t, func(_ *config.Site, s *config.Server) {
		s.Auth.Accounts, s.Auth.MaxAccounts = config.SeveralAccounts, new(2)
	})
	connect := func(server, owner string, p storage.Authentication) error {
		r := g.request()
		r.Server, r.Owner, r.Authentication = server, owner, p
		if p.FlowID != "" {
			r.KeepUntil = g.clock.Now().Add(3600e9)
		}
		to, err := g.Start(t.Context(), r)
		if err != nil {
			return err
		}
		u, err := url.Parse(to)
		if err != nil {
			return err
		}
		_, err = g.Finish(t.Context(), g.answerTo(u.Query()))
		return err
	}
	other := storage.Identity{Kind: "user_id", Subject: testOwner}
	for _, tt := range []struct {
		server, owner string
		p             storage.Authentication
		want          client.Problem
	}{
		{"notion/work", testOwner, storage.Authentication{}, ""},
		{"notion/home", testOwner, storage.Authentication{}, ""},
		{"notion/more", testOwner, storage.Authentication{}, TooManyAccounts},
		{"notion", testOwner, storage.Authentication{}, TooManyAccounts},
		{"notion/more", storage.FlowOwner("f"), g.inFlow("f", other), TooManyAccounts},
		{"notion/work", storage.FlowOwner("f2"), g.inFlow("f2", other), ""},
		{"notion/home", testOwner, storage.Authentication{}, ""},
		{"notion/more", "user_id:b", storage.Authentication{}, ""},
		{"notion/../x", testOwner, storage.Authentication{}, UnknownServer},
		{"notion/", testOwner, storage.Authentication{}, UnknownServer},
		{"notion/a/b", testOwner, storage.Authentication{}, UnknownServer},
		{"/work", testOwner, storage.Authentication{}, UnknownServer},
	} {
		err := connect(tt.server, tt.owner, tt.p)
		var problem *client.Error
		if errors.As(err, &problem); tt.want == "" && err != nil || tt.want != "" && (problem == nil || problem.Problem != tt.want) {
			t.Errorf("%s of %s: got %v, want %q", tt.server, tt.owner, err, tt.want)
		}
	}
}

// What a person calls an account survives a refresh and connecting again; it cannot
// be what nobody can read.
func TestRename(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion/work")
	before := v.EpochOf(t.Context(), alice, "notion/work")
	for _, label := range []string{"a\u202eb", "\x00", strings.Repeat("a", maxLabel+1), "a\nb"} {
		if err := v.Rename(t.Context(), alice, "notion/work", label); !errors.Is(err, ErrLabel) {
			t.Errorf("%q: %v, want ErrLabel", label, err)
		}
	}
	if err := v.Rename(t.Context(), alice, "notion/home", "x"); !errors.Is(err, ErrNotConnected) {
		t.Errorf("what is not connected: %v", err)
	}
	if err := v.Rename(t.Context(), alice, "notion/work", " My office "); err != nil {
		t.Fatal(err)
	}
	if after := v.EpochOf(t.Context(), alice, "notion/work"); after != before || after == "" {
		t.Errorf("renaming made another connection: %q, was %q", after, before)
	}
	c, err := v.Credential(t.Context(), alice, "notion/work")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Refused(t.Context(), alice, "notion/work", c); err != nil {
		t.Fatal(err)
	}
	v.connectAs(alice, "notion/work")
	all, err := v.Status(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range all {
		if want := map[string]string{"notion/work": "My office"}[status.Server]; status.Label != want {
			t.Errorf("%s is called %q, want %q", status.Server, status.Label, want)
		}
	}
}
