package access_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
)

// A condition that has no value neither allows nor lets pass what it is to deny: one that
// is neither true nor false, or costs more than arguments may.
func TestConditionsWithoutValue(t *testing.T) {
	many, err := json.Marshal(map[string]any{"list": strings.Split(strings.Repeat("a ", 2000), " ")})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ condition, arguments string }{
		"a text":         {`tool.args.force`, `{"force":"yes"}`},
		"a number":       {`tool.args.force`, `{"force":1}`},
		"null":           {`tool.args.force`, `{"force":null}`},
		"missing":        {`tool.args.force`, `{}`},
		"too much":       {`tool.args.list.exists(a, tool.args.list.exists(b, a + b == "x"))`, string(many)},
		"a large number": {`tool.args.n > 1`, `{"n":1e999}`},
		"repeated":       {`tool.args.n == 1`, `{"n":1,"n":2}`},
	} {
		item := tool("x")
		item.Arguments = json.RawMessage(tt.arguments)
		for rule, want := range map[string]bool{"allow x": false, "deny x": true} {
			d := rulesOf(t, access.Tool, rule+" when "+tt.condition, "allow y").Decide(alice, item)
			if (d.Rule != nil) != want || d.Allowed {
				t.Errorf("%s: %s comes to %+v", name, rule, d)
			}
		}
	}
}

// Who asks for a URI that can be read in more ways than anybody means needs each scope.
func TestScopesOfHostileURIs(t *testing.T) {
	rules := new(access.Rules)
	if err := rules.Add(access.Resource, []access.Rule{{Scope: "admin", Of: []string{"file:///docs/secret"}}}); err != nil {
		t.Fatal(err)
	}
	if needs := rules.Scopes(access.Resource, "file:///docs/%"+strings.Repeat("25", 200)+"73ecret"); len(needs.Own) != 1 {
		t.Errorf("it needs %+v", needs)
	}
}

// Whom a rule names is written as they are called.
func TestWrongPeople(t *testing.T) {
	for _, text := range []string{"user:", "user: alice", "key:ci ", "client:\t", "team:x", "alice"} {
		if _, err := access.ParsePeople([]string{text}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		rules []string
		want  string // how the warnings begin, with the rule
	}{
		{[]string{"deny delete_*", "allow *"}, ""},
		{[]string{"allow *", "deny delete_*"}, "1 it never decides"},
		{[]string{"allow a*", "allow ab* ac"}, "1 it never decides"},
		{[]string{"allow a*", "allow ab* b"}, ""},
		{[]string{"allow * read_only", "deny x"}, ""},
		{[]string{"allow * read_only", "deny x read_only closed_world"}, "1 it never decides"},
		{[]string{"allow * group:a group:b", "deny x group:b"}, "1 it never decides"},
		{[]string{"allow * group:a", "deny x group:b"}, ""},
		{[]string{"allow * group:a client:c", "deny x group:a"}, ""},
		{[]string{"allow * client:c", "deny x group:a client:c"}, "1 it never decides"},
		{[]string{"allow * when tool.args.a == 1", "deny x"}, ""},
		{[]string{"allow * when tool.args.a == 1", "deny x when tool.args.a == 1"}, "1 it never decides"},
		{[]string{"allow * when tool.args.a == 1", "deny x when tool.args.a == 2"}, ""},
		{[]string{"allow * read_only changing"}, "0 it never matches"},
		{[]string{"allow * destructive read_only"}, "0 it never matches"},
		{[]string{"deny a", "deny b"}, "1 nothing is allowed"},
		{[]string{"deny *"}, ""},
	} {
		var rules []access.Rule
		for _, text := range tt.rules {
			rules = append(rules, ruleOf(text))
		}
		var got string
		for _, w := range access.Warnings(rules) {
			got += string(rune('0'+w.Index)) + " " + w.Text
		}
		if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%q: warned %q, want %q", tt.rules, got, tt.want)
		}
	}
}
