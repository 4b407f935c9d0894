package access_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
)

func TestMistakes(t *testing.T) {
	for _, test := range []struct {
		kind  access.Kind
		rule  access.Rule
		field string
		want  string
	}{
		{access.Tool, access.Rule{}, "", "a rule either allows or denies; write what it allows, or what it denies"},
		{access.Tool, access.Rule{Allow: []string{"x"}, Deny: []string{"y"}}, "", "a rule either allows or denies; write what it allows, or what it denies"},
		{access.Tool, access.Rule{Allow: []string{""}}, "", "a name is empty; write one, or * for all"},
		{access.Tool, access.Rule{Allow: []string{"*", "readonly"}}, "", `"readonly" looks like an annotation; did you mean read_only?`},
		{access.Tool, access.Rule{Allow: []string{"*", "read-only"}}, "", `"read-only" looks like an annotation; did you mean read_only?`},
		{access.Tool, access.Rule{Allow: []string{"get_*", "Read_Only"}}, "", `"Read_Only" looks like an annotation; did you mean read_only?`},
		{access.Tool, access.Rule{Allow: []string{"*", "reed_only"}}, "", `"reed_only" is beside *, which stands for all names; did you mean read_only?`},
		{access.Tool, access.Rule{Allow: []string{"*", "groups:eng"}}, "", `"groups:eng" looks like whom the rule is for; did you mean group:?`},
		{access.Tool, access.Rule{Deny: []string{"*", "goup:contractors"}}, "", `"goup:contractors" looks like whom the rule is for; did you mean group:?`},
		{access.Tool, access.Rule{Allow: []string{"create_*", "goup:x"}}, "", `"goup:x" looks like whom the rule is for; did you mean group:?`},
		{access.Tool, access.Rule{Allow: []string{"get", "*"}}, "", `"get" is beside *, which stands for all names; remove one of them`},
		{access.Tool, access.Rule{Allow: []string{"group:engineering", "create_*"}}, "", "group:engineering says whom the rule is for; write the names first, or * for all"},
		{access.Tool, access.Rule{Allow: []string{"read_only"}}, "", "read_only is an annotation; write the names first, or * for all"},
		{access.Tool, access.Rule{Allow: []string{"q", "unless", "x"}}, "", "\"unless\" is no name; conditions begin with when, and are in backquotes: when `tool.args.x == \"y\"`"},
		{access.Prompt, access.Rule{Allow: []string{"q", "if"}}, "", "\"if\" is no name; conditions begin with when, and are in backquotes: when `tool.args.x == \"y\"`"},
		{access.Tool, access.Rule{Allow: []string{"q", "tool.args.x=='y'"}}, "", "\"tool.args.x=='y'\" is no name; conditions begin with when, and are in backquotes: when `tool.args.x == \"y\"`"},
		{access.Tool, access.Rule{Allow: []string{"q", "group=eng"}}, "", `"group=eng" is no name; write group:eng for whom the rule is`},
		{access.Tool, access.Rule{Allow: []string{"q", "user=='y'"}}, "", "\"user=='y'\" is no name; conditions begin with when, and are in backquotes: when `tool.args.x == \"y\"`"},
		{access.Resource, access.Rule{Allow: []string{"*", "read_only"}}, "", "only tools have annotations; remove read_only"},
		{access.Resource, access.Rule{Scope: "x", Of: []string{"*", "group:x"}}, "of", "group:x says whom the rule is for; write the names first, or * for all"},
		{access.Tool, access.Rule{Allow: []string{"x"}, Annotations: []string{"readonly"}}, "annotations", `unknown annotation "readonly"; use one of: read_only, changing, not_destructive, destructive, idempotent, not_idempotent, closed_world, open_world`},
		{access.Prompt, access.Rule{Allow: []string{"x"}, Annotations: []string{"read_only"}}, "annotations", "only tools have annotations; remove read_only"},
		{access.Tool, access.Rule{Allow: []string{"x"}, For: []string{"role:x"}}, "for", `"role:x": unknown kind "role"; use group:, domain:, email:, claim:, user:, key: or client:`},
		{access.Tool, access.Rule{Allow: []string{"x"}, For: []string{"user:"}}, "for", `"user:": there is no name after the colon; write user:<name>`},
		{access.Tool, access.Rule{Allow: []string{"x"}, For: []string{"domain:x"}}, "for", `"domain:x": not a domain of e-mail addresses; write one such as domain:example.com, each subdomain by itself, and other scripts as xn--…`},
		{access.Tool, access.Rule{Allow: []string{"x"}, When: `tool.args.x == `}, "when", "column 16 of the expression: it ends where something is missing"},
		{access.Tool, access.Rule{Allow: []string{"x"}, When: "true &&\n  tol.name == 'x'"}, "when", "line 2, column 3 of the expression: there is no tol.name; did you mean tool.name?"},
		{access.Tool, access.Rule{Allow: []string{"x"}, When: `tool.name`}, "when", "the expression must be true or false, and is of type string"},
		{access.Resource, access.Rule{Allow: []string{"x"}, When: `resource.args.x`}, "when", "column 1 of the expression: there is no resource.args; there are resource.uri, user.name, user.groups, user.claims, client.id"},
	} {
		err := new(access.Rules).Add(test.kind, []access.Rule{{Allow: []string{"*"}}, test.rule})
		var e *access.Error
		if e, _ = err.(*access.Error); e == nil || e.Index != 1 || e.Field != test.field || e.Text != test.want {
			t.Errorf("%+v: got\n%#v\nwant field %q:\n%s", test.rule, err, test.field, test.want)
		}
	}
}

// What people write in conditions who know other languages, or look for people there, is
// refused with its column and with what to write.
func TestMistakenConditions(t *testing.T) {
	const (
		ofTools   = "; there are tool.name, tool.args, tool.annotations, user.name, user.groups, user.claims, client.id"
		functions = "; there are contains, startsWith, endsWith, matches, lowerAscii, size, has, exists, all"
	)
	for _, test := range []struct {
		kind   access.Kind
		when   string
		column int
		want   string
	}{
		{access.Tool, `tool.args.x = "y"`, 13, "write == instead of ="},
		{access.Tool, `tool.args.x === "y"`, 13, "write == instead of ==="},
		{access.Tool, `tool.args.x !== "y"`, 13, "write != instead of !=="},
		{access.Tool, `tool.args.x <> "y"`, 13, "write != instead of <>"},
		{access.Tool, `tool.args.x => 1`, 13, "write >= instead of =>"},
		{access.Tool, `tool.args.x =~ "y"`, 13, `write x.matches("…") instead of =~`},
		{access.Tool, `tool.args.é == "=" && tool.args.x = "y"`, 35, "write == instead of ="},
		{access.Tool, `tool.args["é = 'é'"] == '=' && tool.args.x = "y"`, 44, "write == instead of ="},
		{access.Tool, `tool.args.x == r"\" && tool.args.x = "y"`, 36, "write == instead of ="},
		{access.Tool, `tool.args.x == """a"=""" & true`, 26, "write && instead of &"},
		{access.Tool, `true | false`, 6, "write || instead of |"},
		{access.Tool, `tool.args.x == “y”`, 16, `write " instead of “`},
		{access.Tool, `tool.args.x == "y" and tool.args.and == 1`, 20, "write && instead of and"},
		{access.Tool, `tool.args.and == 1 AND true`, 20, "write && instead of AND"},
		{access.Tool, `tool.args.x == 1 or (true)`, 18, "write || instead of or"},
		{access.Tool, `not tool.args.x`, 1, "write ! instead of not"},
		{access.Tool, `true && not(tool.args.x)`, 9, "write ! instead of not"},
		{access.Tool, `tool.args.x not in ["a"]`, 13, "write !(x in y) instead of x not in y"},
		{access.Tool, `tool.args.x is "y"`, 13, "write == instead of is"},
		{access.Tool, `user.groups contains "x"`, 13, `write x.contains("…") or "…" in x instead of contains`},
		{access.Tool, `tool.args.x startsWith "x"`, 13, `write x.startsWith("…") instead of startsWith`},
		{access.Tool, "true // and so on\n\t&& tool.args.x = 1", 17, "write == instead of ="}, // of line 2
		{access.Tool, `tool.args.x == "y" group:staff`, 20, "group:staff says whom the rule is for; write it before when"},
		{access.Tool, `group:staff`, 1, "group:staff says whom the rule is for; write it before when"},
		{access.Tool, `email:a@example.com && true`, 1, "email:a@example.com says whom the rule is for; write it before when"},
		{access.Tool, `user:workload:mesh:spiffe://example.org/x`, 1, "user:workload:mesh:spiffe://example.org/x says whom the rule is for; write it before when"},
		{access.Tool, `len(tool.args.x) > 3`, 1, "there is no function len; did you mean size?"},
		{access.Tool, `tool.args.x.includes("y")`, 13, "there is no function includes; did you mean contains?"},
		{access.Tool, `tool.args.x.startswith("y")`, 13, "there is no function startswith; did you mean startsWith?"},
		{access.Tool, `tool.args.x.toLowerCase() == "y"`, 13, "there is no function toLowerCase; did you mean lowerAscii?"},
		{access.Tool, `resolve_address(tool.args.x) == 1`, 1, "there is no function resolve_address" + functions},
		{access.Tool, `contains(tool.args.x, "y")`, 1, "write contains behind what it is about, as in tool.args.x.contains(…)"},
		{access.Tool, `has(tool.args)`, 5, "tool.args is always there; ask for a member of it"},
		{access.Tool, `size(tool.name, 1) == 1`, 1, "size cannot be used with (string, int)"},
		{access.Tool, `tool.name == 1`, 11, "== cannot be used with string and int"},
		{access.Tool, `tool.arguments.x == 1`, 1, "there is no tool.arguments; did you mean tool.args?"},
		{access.Tool, `true && tool.arguments["x"] == 1`, 9, "there is no tool.arguments; did you mean tool.args?"},
		{access.Tool, `tool.arg.x == 1`, 1, "there is no tool.arg; did you mean tool.args?"},
		{access.Tool, `tool.readOnlyHint`, 1, "there is no tool.readOnlyHint; did you mean tool.annotations.readOnlyHint?"},
		{access.Tool, `tool.annotations.readonlyHint`, 1, "there is no annotation readonlyHint; did you mean readOnlyHint?"},
		{access.Tool, `true && tool.annotations["safe"]`, 9, "there is no annotation safe; there are destructiveHint, idempotentHint, openWorldHint, readOnlyHint"},
		{access.Tool, `tool.title == "x"`, 1, "there is no tool.title" + ofTools},
		{access.Tool, `prompt.args.x == 1`, 1, "there is no prompt.args; did you mean tool.args?"},
		{access.Prompt, `tool.arguments.x == 1`, 1, "there is no tool.arguments; did you mean prompt.args?"},
		{access.Prompt, `args.x == 1`, 1, "there is no args.x; did you mean prompt.args.x?"},
		{access.Resource, `args == 1`, 1, "there is no args; there are resource.uri, user.name, user.groups, user.claims, client.id; text is in quotes"},
		{access.Resource, `resource.url == "x"`, 1, "there is no resource.url; did you mean resource.uri?"},
		{access.Tool, `user.email == "x"`, 1, "there is no user.email; did you mean user.claims.email?"},
		{access.Tool, `"x" in user.group`, 8, "there is no user.group; did you mean user.groups?"},
		{access.Tool, `"x" in groups`, 8, "there is no groups; did you mean user.groups?"},
		{access.Tool, `client == "x"`, 1, "there is no client; did you mean client.id?"},
		{access.Tool, `user.name == alice`, 14, "there is no alice" + ofTools + "; text is in quotes"},
		{access.Tool, `tool.args.x == True`, 16, "there is no True; did you mean true?"},
		{access.Tool, `tool.args.x == "y`, 16, `the text that begins here has no end; close it with "`},
		{access.Tool, `tool.args.x == "y" &&`, 22, "it ends where something is missing"},
		{access.Tool, `tool.args.x "y"`, 13, `"y" cannot follow what is before it; join conditions with && or ||`},
		{access.Tool, `tool.args.x : 1`, 13, `":" cannot follow what is before it; join conditions with && or ||`},
		{access.Tool, `tool.args.x == $y`, 16, "$ means nothing in an expression"},
	} {
		place := fmt.Sprintf("column %d of the expression: ", test.column)
		if strings.Contains(test.when, "\n") {
			place = "line 2, " + place
		}
		err := new(access.Rules).Add(test.kind, []access.Rule{{Allow: []string{"x"}, When: test.when}})
		var e *access.Error
		if e, _ = err.(*access.Error); e == nil || e.Field != "when" || e.Text != place+test.want {
			t.Errorf("%s: got\n%v\nwant\n%s%s", test.when, err, place, test.want)
		}
	}
	// What is right stays so, whatever it is about.
	for _, when := range []string{
		`tool.args.and == "or"`, `tool.args.x == "a and b = c"`, `tool.args.x.contains("=") || !(tool.args.y in ["not"])`, `tool.args["is"] >= 1 && tool.args.like <= 2`,
		`has(tool.args.arguments) ? tool.args.arguments.x == '“' : user.name == "group:staff"`, `tool.annotations.readOnlyHint && tool.annotations["idempotentHint"]`,
	} {
		if err := new(access.Rules).Add(access.Tool, []access.Rule{{Allow: []string{"x"}, When: when}}); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
}

// Names that only resemble something else are names.
func TestNamesThatLookOtherwise(t *testing.T) {
	for kind, names := range map[access.Kind][]string{
		access.Tool: {"mail:send", "mail:read", "dev:deploy"}, access.Prompt: {"Summarize a page", "orders"}, access.Resource: {"user://me", "key://x?a=b", "group://x", "file:///my file"},
	} {
		for _, list := range [][]string{names, names[:1]} {
			if err := new(access.Rules).Add(kind, []access.Rule{{Allow: list}}); err != nil {
				t.Errorf("%v %q: %v", kind, list, err)
			}
		}
	}
}

// Who only writes what is not allowed is told that nothing is; who denies all meant it.
func TestOnlyDenied(t *testing.T) {
	deny, scope := access.Rule{Deny: []string{"delete_*"}}, access.Rule{Scope: "files:write", Of: []string{"write_*"}}
	for name, tt := range map[string]struct {
		rules []access.Rule
		want  int // the rule that is warned of, or -1
	}{
		"deny":               {[]access.Rule{deny}, 0},
		"scope and deny":     {[]access.Rule{scope, deny}, 1},
		"two":                {[]access.Rule{deny, {Deny: []string{"drop_*"}}}, 1},
		"with allow":         {[]access.Rule{deny, {Allow: []string{"*"}}}, -1},
		"all is denied":      {[]access.Rule{{Deny: []string{"*"}}}, -1},
		"only a scope":       {[]access.Rule{scope}, -1},
		"allow, then denied": {[]access.Rule{{Allow: []string{"read_*"}}, deny}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			got := -1
			for _, w := range access.Warnings(tt.rules) {
				if strings.Contains(w.Text, "nothing is allowed") {
					got = w.Index
				}
			}
			if got != tt.want {
				t.Errorf("rule %d is warned of, want %d", got, tt.want)
			}
		})
	}
}
