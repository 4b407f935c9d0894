package access_test

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
)

// However names are found, the first rule in the order of the configuration that
// matches decides.
func TestFirstRuleDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringOfN(rapid.SampledFrom([]rune("abc")), 0, 4, -1)
		pattern := rapid.StringOfN(rapid.SampledFrom([]rune("abc*")), 1, 4, -1)
		rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) access.Rule {
			names := rapid.SliceOfN(pattern, 1, 3).Draw(t, "names")
			for _, name := range names {
				if strings.Trim(name, "*") == "" {
					names = []string{name} // beside which there are no others
				}
			}
			if rapid.Bool().Draw(t, "allow") {
				return access.Rule{Allow: names}
			}
			return access.Rule{Deny: names}
		}), 1, 8).Draw(t, "rules")
		compiled := new(access.Rules)
		if err := compiled.Add(access.Tool, rules); err != nil {
			t.Fatal(err)
		}
		item := tool(name.Draw(t, "name"))
		got := compiled.Decide(alice, item)
		want := (*access.Rule)(nil)
		for i := range rules {
			for _, p := range append(rules[i].Allow, rules[i].Deny...) {
				if matched, err := path.Match(p, item.Name); err != nil {
					t.Fatal(err)
				} else if matched && want == nil {
					want = &rules[i]
				}
			}
		}
		if got.Rule != want || got.Allowed != (want != nil && want.Allow != nil) {
			t.Fatalf("%q by %v: got %+v, want %v", item.Name, rules, got, want)
		}
	})
}

// BenchmarkDecide is what a call costs by the number of rules. None of those with
// names is about the tool that is called; with stars each is looked at.
func BenchmarkDecide(b *testing.B) {
	for _, count := range []int{0, 10, 1000} {
		for shape, pattern := range map[string]string{"names": "tool_%d", "stars": "tool_%d_*", "middle stars": "*_%d_*", "people": "tool_7_%d*"} {
			texts := []string{}
			for i := range count {
				text := "deny " + fmt.Sprintf(pattern, i)
				if shape == "people" {
					text = "deny search group:group" + fmt.Sprint(i)
				}
				texts = append(texts, text)
			}
			rules := rulesOf(b, access.Tool, append(texts, "allow search")...)
			b.Run(fmt.Sprintf("%d rules/%s", count, shape), func(b *testing.B) {
				b.ReportAllocs()
				item := tool("search")
				for b.Loop() {
					if !rules.Decide(dana, item).Allowed {
						b.Fatal("not allowed")
					}
				}
			})
		}
	}
	condition := rulesOf(b, access.Tool, `allow q when tool.args.database != "prod"`)
	b.Run("condition", func(b *testing.B) {
		b.ReportAllocs()
		item := with(tool("q"), `{"database":"test","query":"select 1"}`)
		for b.Loop() {
			if !condition.Decide(dana, item).Allowed {
				b.Fatal("not allowed")
			}
		}
	})
}

// A decision allocates nothing, however many rules there are.
func TestDecideAllocations(t *testing.T) {
	texts := []string{}
	for i := range 1000 {
		texts = append(texts, fmt.Sprintf("deny tool_%d tool_%d_* group:g%d", i, i, i))
	}
	rules := rulesOf(t, access.Tool, append(texts, "allow search")...)
	uris := rulesOf(t, access.Resource, append(texts, "allow file:///docs/*")...)
	for name, decide := range map[string]func() bool{
		"tool":     func() bool { return rules.Decide(dana, tool("search")).Allowed },
		"resource": func() bool { return uris.Decide(dana, resource("file:///docs/a.md")).Allowed },
	} {
		if got := testing.AllocsPerRun(100, func() {
			if !decide() {
				t.Fatal("not allowed")
			}
		}); got != 0 {
			t.Errorf("%s: got %v allocations, want none", name, got)
		}
	}
	if long := tool(strings.Repeat("A", 100)); testing.AllocsPerRun(100, func() { rules.Decide(dana, long) }) > 3 {
		t.Error("a name in another case costs more than its own copies")
	}
}
