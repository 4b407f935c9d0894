package grants

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

var testServers = []*config.Server{
	{ID: "notion", Scopes: []string{"mcp:use"}, OptionalScopes: []string{"notion:admin"}},
	{ID: "main", Scopes: []string{"mcp:use"}},
}

func TestResolveScope_AS64_AS68_I19(t *testing.T) {
	servers := testServers
	tests := []struct {
		name, requested string
		want            []string // nil: invalid_scope
	}{
		{"none", "", []string{"mcp:use"}},
		{"spaces", "  ", []string{"mcp:use"}},
		{"only offline_access", "offline_access", []string{"mcp:use"}},
		{"known", "mcp:use", []string{"mcp:use"}},
		{"optional", "notion:admin", []string{"notion:admin"}},
		{"both, twice", "mcp:use notion:admin mcp:use", []string{"mcp:use", "notion:admin"}},
		{"unknown dropped", "root mcp:use", []string{"mcp:use"}},
		{"only unknown", "openid email profile", []string{"mcp:use"}},
		{"case matters", "NOTION:admin", []string{"mcp:use"}},
		{"quote", `mcp:use "`, nil},
		{"backslash", `mcp:use \`, nil},
		{"tab", "mcp:use\troot", nil},
		{"UTF-8", "mcp:use é", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ResolveScope(tt.requested, servers)
			if (err == nil) != (tt.want != nil) || err == nil && !slices.Equal(got, tt.want) {
				t.Errorf("scope = %q, %v, want %q", got, err, tt.want)
			}
			if err != nil && oauth.AsError(err).Code != "invalid_scope" {
				t.Errorf("got %v, want invalid_scope", err)
			}
		})
	}
	if got, err := ResolveScope("", []*config.Server{{ID: "open"}}); err != nil || len(got) != 0 {
		t.Errorf("a server without scopes: %q, %v", got, err)
	}
}

// However scopes are asked for, nothing comes out that was not asked for or is
// not there, and a refresh never widens.
func TestScopeNeverWidens_D06(t *testing.T) {
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"mcp:use", "notion:admin", "root", "offline_access", "", "MCP:use"}), 0, 6)
	servers := testServers
	rapid.Check(t, func(t *rapid.T) {
		asked := names.Draw(t, "asked")
		granted, err := ResolveScope(strings.Join(asked, " "), servers)
		if err != nil {
			return
		}
		for _, s := range granted {
			if s != "mcp:use" && s != "notion:admin" || !slices.Contains(asked, s) && s != "mcp:use" {
				t.Fatalf("granted %q for %q", granted, asked)
			}
		}
		asked = names.Draw(t, "refresh")
		narrowed, err := NarrowScope(strings.Join(asked, " "), granted, servers)
		if err == nil && slices.ContainsFunc(narrowed, func(s string) bool { return !slices.Contains(granted, s) }) {
			t.Fatalf("%q widens %q", narrowed, granted)
		}
		known := LimitScope(asked, servers)
		if refused := len(known) > 0 && !slices.ContainsFunc(known, func(s string) bool { return slices.Contains(granted, s) }); refused != (err != nil) {
			t.Fatalf("%q of %q: %v", asked, granted, err)
		}
	})
}

// Whatever is asked for, ticked and chosen: what is granted was asked for, is known
// where it is granted, and was ticked or is needed there; what was asked for and
// is needed is always granted; and no refresh gets more.
func TestChosenScopeIsWhatWasTicked_I19_D06(t *testing.T) {
	servers := []*config.Server{
		{ID: "notion", Scopes: []string{"mcp:use"}, OptionalScopes: []string{"write", "export", "connect:notion"}},
		{ID: "main", Scopes: []string{"mcp:use", "export"}, OptionalScopes: []string{"admin"}},
		{ID: "open", OptionalScopes: []string{"write"}},
	}
	tokens := []string{"mcp:use", "write", "export", "admin", "connect:notion", "root"}
	some := rapid.SliceOfDistinct(rapid.SampledFrom(tokens), rapid.ID[string])
	rapid.Check(t, func(t *rapid.T) {
		offered := rapid.SliceOfNDistinct(rapid.SampledFrom(servers), 1, 3, func(s *config.Server) string { return s.ID }).Draw(t, "offered")
		chosen := slices.DeleteFunc(slices.Clone(offered), func(*config.Server) bool { return rapid.Bool().Draw(t, "left out") })
		requested, ticked := some.Draw(t, "requested"), some.Draw(t, "ticked")
		optional := OptionalScope(requested, offered)
		granted := ChosenScope(requested, ticked, chosen)
		for _, token := range tokens {
			known := slices.ContainsFunc(chosen, func(s *config.Server) bool { return s.HasScope(token) })
			needed := slices.ContainsFunc(chosen, func(s *config.Server) bool { return slices.Contains(s.Scopes, token) })
			asked, connects := slices.Contains(requested, token), strings.HasPrefix(token, "connect:")
			want := asked && known && (needed || connects || slices.Contains(ticked, token))
			if got := slices.Contains(granted, token); got != want {
				t.Fatalf("%s of %q, ticked %q, at %v: granted %t, want %t", token, requested, ticked, chosen, got, want)
			}
			if got := slices.Contains(optional, token); got && (!asked || connects) {
				t.Fatalf("%s can be left out of %q", token, requested)
			}
			if want && !needed && !connects && !slices.Contains(optional, token) {
				t.Fatalf("%s was ticked, and was not on offer", token)
			}
		}
		wider, err := NarrowScope(strings.Join(some.Draw(t, "refresh"), " "), granted, chosen)
		if err == nil && slices.ContainsFunc(wider, func(s string) bool { return !slices.Contains(granted, s) }) {
			t.Fatalf("%q widens %q", wider, granted)
		}
	})
}
