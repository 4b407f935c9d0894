package access

import (
	"reflect"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestScopesOfCalls(t *testing.T) {
	rules := new(Rules)
	if err := rules.Add(Tool, []Rule{
		{Scope: "pages:write", Of: []string{"create_*", "update_*"}},
		{Deny: []string{"drop"}},
		{Scope: "admin", ProviderScopes: []string{"repo", "delete_repo"}, Of: []string{"update_all", "delete_*"}},
		{Allow: []string{"*"}},
		{ProviderScopes: []string{"mail.send"}, Of: []string{"send"}},
	}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Scopes{
		"create_page": {Own: []string{"pages:write"}}, "Create_Page ": {Own: []string{"pages:write"}}, "ｃreate_page": {Own: []string{"pages:write"}},
		"update_all": {Own: []string{"pages:write", "admin"}, Provider: []string{"repo", "delete_repo"}},
		"delete_x":   {Own: []string{"admin"}, Provider: []string{"repo", "delete_repo"}}, "send": {Provider: []string{"mail.send"}}, "read": {}, "create": {},
	} {
		if got := rules.Scopes(Tool, name); !reflect.DeepEqual(got, want) {
			t.Errorf("%q needs %+v, want %+v", name, got, want)
		}
	}
	all := Scopes{Own: []string{"pages:write", "admin"}, Provider: []string{"repo", "delete_repo", "mail.send"}}
	if got := rules.AllScopes(); !reflect.DeepEqual(got, all) {
		t.Errorf("all are %+v, want %+v", got, all)
	}
	who := Who{Identity: &storage.Identity{Kind: "anonymous"}}
	for name, want := range map[string]bool{"create_page": true, "drop": false, "read": true} {
		if d := rules.Decide(who, Item{Kind: Tool, Name: name}); d.Allowed != want {
			t.Errorf("%q: got %+v", name, d)
		}
	}
	if got := rules.Scopes(Prompt, "create_page"); !reflect.DeepEqual(got, Scopes{}) {
		t.Errorf("a prompt needs %+v", got)
	}
}

// Rules that say which scopes are needed allow and deny nothing.
func TestScopesDecideNothing(t *testing.T) {
	rules := new(Rules)
	configured := []Rule{{Scope: "write", Of: []string{"*"}}}
	if err := rules.Add(Tool, configured); err != nil {
		t.Fatal(err)
	}
	who := Who{Identity: &storage.Identity{Kind: "anonymous"}}
	if d := rules.Decide(who, Item{Kind: Tool, Name: "x"}); !d.Allowed || rules.Nothing(who, Tool) {
		t.Errorf("got %+v", d)
	}
	nothing := new(Rules)
	if err := nothing.Add(Tool, append(configured, Rule{Deny: []string{"*"}})); err != nil {
		t.Fatal(err)
	}
	if !nothing.Nothing(who, Tool) {
		t.Error("what is left is not nothing")
	}
	if w := Warnings(append(configured, Rule{Allow: []string{"*"}}, Rule{Scope: "other", Of: []string{"*"}})); len(w) != 0 {
		t.Errorf("warned of %v", w)
	}
	for text, rule := range map[string]Rule{
		"scope write create_*": {Scope: "write", Of: []string{"create_*"}}, "scope write=repo,user *": {Scope: "write", ProviderScopes: []string{"repo", "user"}, Of: []string{"*"}},
		"scope =repo *": {ProviderScopes: []string{"repo"}, Of: []string{"*"}},
	} {
		if got := rule.String(); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
}

func TestWrongScopeRules(t *testing.T) {
	for want, rule := range map[string]Rule{
		"write two rules":    {Scope: "write", Of: []string{"x"}, Allow: []string{"x"}},
		"holds for every":    {Scope: "write", Of: []string{"x"}, For: []string{"group:a"}},
		"there is no scope":  {Of: []string{"x"}},
		"no names that need": {Scope: "write"},
		"a name is empty":    {Scope: "write", Of: []string{""}},
	} {
		err := new(Rules).Add(Tool, []Rule{{Allow: []string{"*"}}, rule})
		if e, _ := err.(*Error); e == nil || e.Index != 1 || !strings.Contains(e.Text, want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}
