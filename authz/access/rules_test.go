package access_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// ruleOf reads a rule as a test writes it: words with spaces between, and what is
// after "when".
func ruleOf(text string) (r access.Rule) {
	text, r.When, _ = strings.Cut(text, " when ")
	words := strings.Fields(text)
	names := &r.Allow
	if words[0] == "deny" {
		names = &r.Deny
	}
	for _, w := range words[1:] {
		switch {
		case strings.Contains(" "+strings.Join(access.AnnotationWords, " ")+" ", " "+w+" "):
			r.Annotations = append(r.Annotations, w)
		case strings.Contains(w, ":") && !strings.Contains(w, "/"):
			r.For = append(r.For, w)
		default:
			*names = append(*names, w)
		}
	}
	return r
}

func rulesOf(t testing.TB, kind access.Kind, texts ...string) *access.Rules {
	t.Helper()
	var list []access.Rule
	for _, text := range texts {
		list = append(list, ruleOf(text))
	}
	rules := new(access.Rules)
	if err := rules.Add(kind, list); err != nil {
		t.Fatal(err)
	}
	return rules
}

var (
	alice = access.Who{Identity: &storage.Identity{Kind: "virtual_key", Subject: "virtual_key:alice", Name: "alice"}, Name: "alice", Client: "cli"}
	dana  = access.Who{Identity: &storage.Identity{
		Kind: "oidc:idp", Subject: "oidc:idp:7", Name: "alice", // which others can have, too
		Claims: &storage.Claims{Email: "dana@example.com", Groups: []string{"maintainers"}, Extra: map[string]json.RawMessage{"level": json.RawMessage("3")}},
	}, Client: "web"}
	carl = access.Who{Identity: &storage.Identity{Kind: "user_id", Subject: "user_id:carl", Name: "carl"}}
)

func tool(name string, a ...access.Annotations) access.Item {
	i := access.Item{Kind: access.Tool, Name: name}
	for _, a := range a {
		i.Annotations |= a | access.Known
	}
	return i
}

func resource(uri string) access.Item { return access.Item{Kind: access.Resource, Name: uri} }

func TestDecide(t *testing.T) {
	type decision struct {
		who  access.Who
		item access.Item
		by   string // the rule, or "" if none matches
		ok   bool
	}
	readOnly := access.ReadOnly | access.NotDestructive | access.Idempotent
	for name, test := range map[string]struct {
		kind  access.Kind
		rules []string
		want  []decision
	}{
		"the first that matches decides": {rules: []string{"deny delete_*", "allow delete_repo list_*", "allow get"}, want: []decision{
			{alice, tool("delete_repo"), "deny delete_*", false},
			{alice, tool("list_repos"), "allow delete_repo list_*", true},
			{alice, tool("list_"), "allow delete_repo list_*", true},
			{alice, tool("list"), "", false},
			{alice, tool("get"), "allow get", true},
			{alice, tool("get2"), "", false},
		}},
		"exact names and stars in the order of the rules": {rules: []string{"allow a*", "deny ab", "deny *c", "allow c", "allow b"}, want: []decision{
			{alice, tool("ab"), "allow a*", true},
			{alice, tool("c"), "deny *c", false},
			{alice, tool("b"), "allow b", true},
		}},
		"a star within": {rules: []string{"deny *_prod_*", "allow run*query*all"}, want: []decision{
			{alice, tool("x_prod_y"), "deny *_prod_*", false},
			{alice, tool("run_my_query_for_all"), "allow run*query*all", true},
			{alice, tool("run_query_fo"), "", false},
			{alice, tool("runqueryall"), "allow run*query*all", true},
		}},
		"people": {rules: []string{"allow a group:maintainers", "allow b user:alice", "allow c key:alice", "allow d user:oidc:idp:7", "allow e user:dana@example.com", "allow f client:web", "allow g group:maintainers client:cli", "deny h client:cli", "allow h", "allow i claim:level=3 user:nobody"}, want: []decision{
			{alice, tool("a"), "", false}, {dana, tool("a"), "allow a group:maintainers", true}, {carl, tool("a"), "", false},
			{alice, tool("b"), "allow b user:alice", true}, {dana, tool("b"), "", false},
			{alice, tool("c"), "allow c key:alice", true}, {dana, tool("c"), "", false},
			{alice, tool("d"), "", false}, {dana, tool("d"), "allow d user:oidc:idp:7", true},
			{alice, tool("e"), "", false}, {dana, tool("e"), "allow e user:dana@example.com", true},
			{alice, tool("f"), "", false}, {dana, tool("f"), "allow f client:web", true}, {carl, tool("f"), "", false},
			{alice, tool("g"), "", false}, {dana, tool("g"), "", false},
			{alice, tool("h"), "deny h client:cli", false}, {dana, tool("h"), "allow h", true},
			{dana, tool("i"), "allow i claim:level=3 user:nobody", true}, {alice, tool("i"), "", false},
		}},
		"a name that reads like somebody's subject is not theirs": {rules: []string{"allow * user:oidc:idp:7", "allow x user:bob"}, want: []decision{
			{access.Who{Identity: &storage.Identity{Kind: "virtual_key", Subject: "virtual_key:oidc:idp:7", Name: "oidc:idp:7"}, Name: "oidc:idp:7"}, tool("x"), "", false},
			{access.Who{Identity: &storage.Identity{Kind: "virtual_key", Subject: "virtual_key:bob", Name: "bob"}, Name: "bob"}, tool("x"), "allow x user:bob", true},
		}},
		"annotations": {rules: []string{"deny * destructive open_world", "allow * read_only", "allow w* not_destructive"}, want: []decision{
			{alice, tool("x"), "deny * destructive open_world", false},
			{alice, tool("x", readOnly), "allow * read_only", true},
			{alice, tool("x", access.ClosedWorld), "", false},
			{alice, tool("w", access.ClosedWorld), "", false},
			{alice, tool("w", access.NotDestructive), "allow w* not_destructive", true},
		}},
		"what looks like a denied name is denied": {rules: []string{"deny delete_repo drop*", "allow *"}, want: []decision{
			{alice, tool("DELETE_repo"), "deny delete_repo drop*", false},
			{alice, tool(" delete_repo"), "deny delete_repo drop*", false},
			{alice, tool("delete_repo\t"), "deny delete_repo drop*", false},
			{alice, tool("ｄelete_repo"), "deny delete_repo drop*", false},
			{alice, tool("delete\u200b_repo"), "deny delete_repo drop*", false},
			{alice, tool("Drop_all"), "deny delete_repo drop*", false},
			{alice, tool("delete_repo2"), "allow *", true},
		}},
		"so is what looks so but for a mark or a dot": {rules: []string{"deny kill wipe* e*", "allow *"}, want: []decision{
			{alice, tool("k\u0130ll"), "deny kill wipe* e*", false},
			{alice, tool("K\u0131LL"), "deny kill wipe* e*", false},
			{alice, tool("wipe\u0301_all"), "deny kill wipe* e*", false}, // which begins with wipe, byte for byte
			{alice, tool("wip\u00e9_all"), "deny kill wipe* e*", false},
			{alice, tool("E\u0301"), "deny kill wipe* e*", false},
			{alice, tool("k\u00efll"), "allow *", true},
		}},
		"an allowed name is as it is written": {rules: []string{"allow getUser list*"}, want: []decision{
			{alice, tool("getUser"), "allow getUser list*", true},
			{alice, tool("getuser"), "", false},
			{alice, tool("getUser "), "", false},
			{alice, tool("List_x"), "", false},
		}},
		"resources": {kind: access.Resource, rules: []string{"deny file:///docs/secret*", "allow file:///docs/*", "allow note://MyNote", "allow x://q?a=1"}, want: []decision{
			{alice, resource("file:///docs/a"), "allow file:///docs/*", true},
			{alice, resource("file:///docs/my%20file?x"), "allow file:///docs/*", true},
			{alice, resource("file:///docs/../etc/passwd"), "", false},
			{alice, resource("file:///docs/%2e%2e/etc/passwd"), "", false},
			{alice, resource("file:///docs/%252e%252e/etc/passwd"), "", false},
			{alice, resource("file:///docs/..%2fetc/passwd"), "", false},
			{alice, resource(`file:///docs/..\etc/passwd`), "", false},
			{alice, resource("file:///docs/?/../../etc/passwd"), "", false},
			{alice, resource("file:///docs/a/../secret"), "deny file:///docs/secret*", false},
			{alice, resource("FILE:///docs/secret"), "deny file:///docs/secret*", false},
			{alice, resource("file:///docs/SECRET"), "deny file:///docs/secret*", false},
			{alice, resource("file:///docs//secret"), "deny file:///docs/secret*", false},
			{alice, resource("file:///docs/%73ecret"), "deny file:///docs/secret*", false},
			{alice, resource("file://localhost/docs/secret"), "deny file:///docs/secret*", false},
			{alice, resource("file:/docs/secret"), "deny file:///docs/secret*", false},
			{alice, resource("file:docs/secret"), "deny file:///docs/secret*", false},
			{alice, resource("file:///docs/se\tcret"), "deny file:///docs/secret*", false},
			{alice, resource("note://MyNote"), "allow note://MyNote", true},
			{alice, resource("note://mynote"), "", false},
			{alice, resource("x://q?a=1"), "allow x://q?a=1", true},
			{alice, resource("x://q?a=2"), "", false},
			{alice, access.Item{Kind: access.ResourceTemplate, Name: "file:///docs/{name}"}, "allow file:///docs/*", true},
			{alice, access.Item{Kind: access.ResourceTemplate, Name: "file:///{name}"}, "", false},
		}},
		"a query does not hide a name": {kind: access.Resource, rules: []string{"deny file:///secret", "allow *"}, want: []decision{
			{alice, resource("file:///secret?a"), "deny file:///secret", false},
			{alice, resource("file:///secret#a"), "deny file:///secret", false},
			{alice, resource("file:///secrets"), "allow *", true},
		}},
		"a condition": {rules: []string{`allow q when tool.args.database != "prod"`, "deny w when tool.args.n > 9007199254740992", "allow w", `allow u when user.name == "alice" && client.id == "cli"`, `allow v when "maintainers" in user.groups && user.claims.level >= 3`, `allow a when tool.annotations.readOnlyHint`, `allow n when tool.name.startsWith("n")`}, want: []decision{
			{alice, with(tool("q"), `{"database":"test"}`), `allow q when ` + "`" + `tool.args.database != "prod"` + "`", true},
			{alice, with(tool("q"), `{"database":"prod"}`), "", false},
			{alice, with(tool("q"), `{}`), "", false},
			{alice, tool("q"), "", false},
			{alice, with(tool("q"), `[1]`), "", false},
			{alice, with(tool("q"), string(access.Unread)), "", false},
			{alice, with(tool("w"), `{"n":9007199254740992}`), "allow w", true},
			{alice, with(tool("w"), `{"n":9007199254740993}`), "deny w when `tool.args.n > 9007199254740992`", false},
			{alice, with(tool("w"), `{}`), "deny w when `tool.args.n > 9007199254740992`", false},
			{alice, tool("u"), "allow u when `user.name == \"alice\" && client.id == \"cli\"`", true},
			{dana, tool("u"), "", false},
			{dana, tool("v"), "allow v when `\"maintainers\" in user.groups && user.claims.level >= 3`", true},
			{alice, tool("v"), "", false},
			{alice, tool("a", access.ReadOnly), "allow a when `tool.annotations.readOnlyHint`", true},
			{alice, tool("a"), "", false},
			{alice, tool("n"), "allow n when `tool.name.startsWith(\"n\")`", true},
		}},
		"rules for another kind": {kind: access.Prompt, rules: []string{"deny *"}, want: []decision{
			{alice, tool("x"), "", true},
			{alice, access.Item{Kind: access.Prompt, Name: "x"}, "deny *", false},
		}},
		"too long a name": {rules: []string{"allow *"}, want: []decision{{alice, tool(strings.Repeat("x", 4097)), "", false}}},
	} {
		t.Run(name, func(t *testing.T) {
			rules := rulesOf(t, test.kind, test.rules...)
			for _, want := range test.want {
				got := rules.Decide(want.who, want.item)
				by := ""
				if got.Rule != nil {
					by = got.Rule.String()
				}
				if got.Allowed != want.ok || by != want.by {
					t.Errorf("%s may use %s %q %s: got %t by %q, want %t by %q", want.who.Identity.Subject, want.item.Kind, want.item.Name, want.item.Arguments, got.Allowed, by, want.ok, want.by)
				}
			}
		})
	}
}

func with(i access.Item, arguments string) access.Item {
	i.Arguments = json.RawMessage(arguments)
	return i
}

// What a decision depends on that is not known is told.
func TestDecisionNeeds(t *testing.T) {
	rules := rulesOf(t, access.Tool, `deny q when tool.args.database == "prod"`, `allow q when user.name == "alice" || tool.args.test`, "deny * destructive", "allow *")
	open := access.Item{Kind: access.Tool, Name: "q", Open: true}
	for _, test := range []struct {
		who  access.Who
		item access.Item
		want access.Decision
	}{
		{alice, tool("x", access.NotDestructive), access.Decision{Allowed: true}},
		{alice, tool("x"), access.Decision{NeedsAnnotations: true}},
		{alice, open, access.Decision{Allowed: true, NeedsArguments: true}},
		{dana, open, access.Decision{Allowed: true, NeedsArguments: true}},
		{alice, with(tool("q"), `{"database":"x"}`), access.Decision{Allowed: true}},
		{alice, with(tool("q"), `{"database":"prod"}`), access.Decision{}},
	} {
		got := rules.Decide(test.who, test.item)
		got.Rule = nil
		if got != test.want {
			t.Errorf("%s, %+v: got %+v, want %+v", test.who.Identity.Subject, test.item, got, test.want)
		}
	}
	only := rulesOf(t, access.Tool, `allow q when user.name == "alice" && tool.args.test`)
	if d := only.Decide(dana, open); d.Allowed || d.NeedsArguments {
		t.Errorf("no arguments would help dana: got %+v", d)
	}
}

func TestHints(t *testing.T) {
	yes, no := new(true), new(false)
	for _, test := range []struct {
		hints [4]*bool
		want  access.Annotations
	}{
		{[4]*bool{}, access.Known},
		{[4]*bool{yes, yes, no, yes}, access.Known | access.ReadOnly | access.NotDestructive | access.Idempotent},
		{[4]*bool{no, no, yes, no}, access.Known | access.NotDestructive | access.Idempotent | access.ClosedWorld},
		{[4]*bool{no, yes, no, yes}, access.Known},
	} {
		if got := access.Hints(test.hints[0], test.hints[1], test.hints[2], test.hints[3]); got != test.want {
			t.Errorf("%v: got %b, want %b", test.hints, got, test.want)
		}
	}
}

func TestNothing(t *testing.T) {
	for _, test := range []struct {
		rules       []string
		alice, dana bool
	}{
		{[]string{"deny x"}, true, true},
		{[]string{"allow x group:maintainers"}, true, false},
		{[]string{"deny * user:alice", "allow *"}, true, false},
		{[]string{"deny * read_only", "allow *"}, false, false},
		{[]string{"deny x*", "allow y when tool.args.z"}, false, false},
	} {
		rules := rulesOf(t, access.Tool, test.rules...)
		if a, d := rules.Nothing(alice, access.Tool), rules.Nothing(dana, access.Tool); a != test.alice || d != test.dana {
			t.Errorf("%q: got %t for alice and %t for dana, want %t and %t", test.rules, a, d, test.alice, test.dana)
		}
		if rules.Nothing(alice, access.Prompt) || rules.NothingAtAll(alice) {
			t.Errorf("%q: nothing of prompts, for which there are no rules", test.rules)
		}
	}
	var none *access.Rules
	if none.Has(access.Tool) || none.Nothing(alice, access.Tool) || !none.Decide(alice, tool("x")).Allowed {
		t.Error("no rules allow everything")
	}
}
