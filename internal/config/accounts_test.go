package config

import (
	"slices"
	"strings"
	"testing"
)

func accountsSite() *Site {
	s := testSite()
	s.Servers[1].Auth.Accounts = SeveralAccounts
	return s
}

// The name of an account is a part of a URL with one spelling.
func TestIsAccountName(t *testing.T) {
	for name, want := range map[string]bool{
		"work": true, "a": true, "0": true, "my-2nd": true, strings.Repeat("a", 32): true,
		"": false, strings.Repeat("a", 33): false, "Work": false, "-a": false, "a-": false, "a_b": false, "a.b": false, "..": false,
		"a/b": false, "a b": false, "w\u00f6rk": false, "work\n": false, "work\x00": false, "%77ork": false, "\u0430": false, "wor\u212a": false,
	} {
		if got := IsAccountName(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// A server is found for an account by id, resource and path, and by nothing else.
func TestForAccount(t *testing.T) {
	r, err := accountsSite().Resolve(replace)
	if err != nil {
		t.Fatal(err)
	}
	b := r.Servers[1]
	work := r.Server("b/work")
	if work == nil || work.ID != "b/work" || work.Path != "/b/work" || work.Resource != "https://mcp.example.com/b/work" || work.Account != "work" || work.Title != "B (work)" ||
		work.Configured() != b || work.HasAccounts() || !work.HasScope("connect:b/work") || work.HasScope("connect:b") || !b.HasScope("connect:b") || !work.HasScope("b:read") {
		t.Errorf("got %+v", work)
	}
	for _, id := range []string{"b/", "b/Work", "b/work/", "b/a/b", "/work", "a/work", "c/work", "x/work", ""} {
		if got := r.Server(id); got != nil {
			t.Errorf("%q is %s", id, got.ID)
		}
	}
	for path, want := range map[string]string{"/b/work": "b/work", "/b": "", "/b/": "", "/b/work/": "", "/bwork": "", "/c/work": "", "/work": ""} {
		got := r.AccountAt(path)
		if (got == nil) != (want == "") || got != nil && got.ID != want {
			t.Errorf("%s: %v, want %q", path, got, want)
		}
	}
	var ids []string
	for _, s := range r.ServersAt([]string{work.Resource, "https://mcp.example.com/c", "https://mcp.example.com/b", "https://mcp.example.com/b/No", "https://mcp.example.com/c/work"}) {
		ids = append(ids, s.ID)
	}
	if want := []string{"b", "b/work", "c"}; !slices.Equal(ids, want) {
		t.Errorf("at the resources: %v, want %v", ids, want)
	}
	for path, want := range map[string]bool{"/b/work": true, "/b/anything/below": true, "/b": true, "/c/work": false, "/bx": false} {
		if got := r.OwnedPaths().Contains(path); got != want {
			t.Errorf("%s is the site's: %v, want %v", path, got, want)
		}
	}
}

func TestAccountsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Site)
		want   string
	}{
		"another word":        {func(s *Site) { s.Servers[1].Auth.Accounts = "many" }, "servers[1].auth.accounts: "},
		"a bound alone":       {func(s *Site) { s.Servers[1].Auth.Accounts, s.Servers[1].Auth.MaxAccounts = "", new(3) }, "servers[1].auth.max_accounts: "},
		"none":                {func(s *Site) { s.Servers[1].Auth.MaxAccounts = new(0) }, "servers[1].auth.max_accounts: "},
		"too many":            {func(s *Site) { s.Servers[1].Auth.MaxAccounts = new(101) }, "servers[1].auth.max_accounts: "},
		"of an operator":      {func(s *Site) { s.Servers[1].Auth.Mode = OAuth }, "servers[1].auth.accounts: "},
		"at the root":         {func(s *Site) { s.Servers[0].Path, s.Servers[1].Path = "/x", "/" }, "servers[1].auth.accounts: "},
		"a server below":      {func(s *Site) { s.Servers[2].Path = "/b/c" }, "servers[2].path: "},
		"a callback below":    {func(s *Site) { s.Servers[1].Auth.CallbackPath = "/b/cb" }, "servers[1].auth.callback_path: "},
		"no domain":           {func(s *Site) { s.Servers[1].Auth.ExpectDomain = []string{"@example.com"} }, "servers[1].auth.expect_domain: "},
		"a word for a domain": {func(s *Site) { s.Servers[1].Auth.ExpectDomain = []string{"example"} }, "servers[1].auth.expect_domain: "},
		"a domain of a key":   {func(s *Site) { s.Servers[2].Auth.ExpectDomain = []string{"example.com"} }, "servers[2].auth.expect_domain: "},
	} {
		s := accountsSite()
		tt.change(s)
		if _, err := s.Resolve(replace); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s…", name, err, tt.want)
		}
	}
}
