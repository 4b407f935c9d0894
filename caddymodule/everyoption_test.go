package caddymodule

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// inBlock tells where lines of a block stand in a Caddyfile.
var inBlock = map[string]string{
	"the mcp_oauth block of a site":             "http://127.0.0.1 {\nmcp_oauth {\n%s\n}\n}\n",
	"the block of identity caddy":               "http://127.0.0.1 {\nmcp_oauth {\nidentity caddy {\n%s\n}\n}\n}\n",
	"the block of identity dashboard":           "http://127.0.0.1 {\nmcp_oauth {\nidentity dashboard {\n%s\n}\n}\n}\n",
	"the block of identity oidc":                "http://127.0.0.1 {\nmcp_oauth {\nidentity oidc https://login.example.com {\n%s\n}\n}\n}\n",
	"the block of identity workload":            "http://127.0.0.1 {\nmcp_oauth {\nidentity workload w https://issuer.example.com {\n%s\n}\n}\n}\n",
	"the block of a server":                     "http://127.0.0.1 {\nmcp_oauth {\nserver s /s http://127.0.0.1:1/mcp {\n%s\n}\n}\n}\n",
	"the block of tools":                        "http://127.0.0.1 {\nmcp_oauth {\nserver s /s http://127.0.0.1:1/mcp {\ntools {\n%s\n}\n}\n}\n}\n",
	"the block of resources or prompts":         "http://127.0.0.1 {\nmcp_oauth {\nserver s /s http://127.0.0.1:1/mcp {\nprompts {\n%s\n}\n}\n}\n}\n",
	"the block of pin_tools":                    "http://127.0.0.1 {\nmcp_oauth {\nserver s /s http://127.0.0.1:1/mcp {\npin_tools hold {\n%s\n}\n}\n}\n}\n",
	"the block of auth oauth or per_user_oauth": "http://127.0.0.1 {\nmcp_oauth {\nserver s /s http://127.0.0.1:1/mcp {\nauth oauth {\n%s\n}\n}\n}\n}\n",
	"the block of auth per_user_headers":        "http://127.0.0.1 {\nmcp_oauth {\nserver s /s http://127.0.0.1:1/mcp {\nauth per_user_headers {\n%s\n}\n}\n}\n}\n",
	"the block of a client":                     "http://127.0.0.1 {\nmcp_oauth {\nclient c {\n%s\n}\n}\n}\n",
	"the block of registration":                 "http://127.0.0.1 {\nmcp_oauth {\nregistration {\n%s\n}\n}\n}\n",
	"the block of branding":                     "http://127.0.0.1 {\nmcp_oauth {\nbranding {\n%s\n}\n}\n}\n",
	"the block of signing":                      "http://127.0.0.1 {\nmcp_oauth {\nsigning {\n%s\n}\n}\n}\n",
	"the block of storage bbolt":                "{\nmcp_oauth {\nstorage bbolt {\n%s\n}\n}\n}\n",
	"the block of storage postgres":             "{\nmcp_oauth {\nstorage postgres {\n%s\n}\n}\n}\n",
	"the global mcp_oauth block, in the braces at the top of the Caddyfile": "{\nmcp_oauth {\n%s\n}\n}\n",
}

// Each option of each block is looked at when it is given twice, without its
// arguments, with empty ones, with one too many, with a block that it does not
// take, misspelt, and in another block. Nothing of that is ignored, and each
// message names the line and the option.
func TestEveryOption(t *testing.T) {
	for _, b := range blocks() {
		context, known := inBlock[b.title]
		if !known {
			t.Fatalf("%s: write where it stands", b.title)
		}
		refused := func(what, lines, want string) {
			t.Helper()
			text := fmt.Sprintf(context, lines)
			at := fmt.Sprintf(", at Caddyfile:%d", 1+strings.Count(context[:strings.Index(context, "%s")], "\n")+strings.Count(strings.TrimSuffix(lines, "\n}"), "\n"))
			if got := ours(loadable(t, text)); !strings.Contains(got, want) || !strings.HasSuffix(got, at) {
				t.Errorf("%s: %s:\n%s\ngot\n%s\nwant %s%s", b.title, what, lines, got, want, at)
			}
		}
		for _, u := range usages(b.grammar) {
			o := option[any]{args: strings.TrimPrefix(u.option, strings.Fields(u.option)[0]), block: u.block}
			o.name = strings.Fields(u.option)[0]
			good := o.name + samples(t, o)
			if !u.repeats && u.block == nil {
				refused("twice", good+"\n"+good, "already set on line")
			}
			if e := o.arguments(); len(e) > 0 && !e[0].optional {
				refused("no argument", o.name, "is missing")
				refused("empty argument", o.name+` ""`, o.name)
			}
			if u.block == nil && !slices.ContainsFunc(o.arguments(), func(a argument) bool { return a.many || a.optional }) {
				refused("one too many", good+" more", `remove "more"`)
			}
			if u.block == nil {
				refused("a block", good+" {\n}", "takes no block")
			}
			if misspelt := o.name[:len(o.name)-1] + "q"; !slices.Contains(b.grammar.names(), misspelt) {
				refused("misspelt", misspelt+" x", `unknown option "`+misspelt+`"; did you mean `)
			}
			for _, other := range blocks() {
				if slices.Contains(other.grammar.names(), o.name) {
					continue
				}
				elsewhere := fmt.Sprintf(inBlock[other.title], good)
				got := ours(loadable(t, elsewhere))
				titles, _, _ := strings.Cut(got, ", at Caddyfile:")
				titles, _, _ = strings.Cut(strings.TrimPrefix(titles, o.name+" belongs in "), "; or did you mean ")
				if want := allowedIn(o.name); strings.TrimPrefix(titles, "one of: ") != strings.Join(want, "; ") || len(want) > 1 != strings.HasPrefix(titles, "one of: ") {
					t.Errorf("%s in %s: %s; it is allowed in %q", o.name, other.title, got, want)
				}
				if len(got) > maxMessage+len(", at Caddyfile:100") {
					t.Errorf("%s in %s: %d bytes: %s", o.name, other.title, len(got), got)
				}
			}
		}
	}
}

// allowedIn returns the blocks that have an option, by the grammar that is read.
func allowedIn(name string) (titles []string) {
	for _, b := range blocks() {
		if slices.ContainsFunc(usages(b.grammar), func(u usage) bool { return strings.Fields(u.option)[0] == name }) {
			titles = append(titles, b.title)
		}
	}
	return titles
}

// sampleOf has a value of each kind that the grammar names.
var sampleOf = map[string]string{
	"<duration>": "1h", "<count>": "5", "<count per address>": "5", "<registrations per minute and address>": "5",
	"<json>": "`{\"keys\":[]}`", "<json|placeholder>": "{env.X}",
	// What is read as a text: whether it is a good one is not asked here.
	"<#rrggbb>": "{env.X}", "<claim>": "{env.X}", "<issuer>": "{env.X}", "<rule>": "{env.X}", "<description>": "{env.X}", "<domain>": "{env.X}", "<dsn>": "{env.X}", "<file>": "{env.X}", "<host>": "{env.X}", "<id>": "{env.X}", "<id|placeholder>": "{env.X}", "<member>": "{env.X}",
	"<name>": "{env.X}", "<origin>": "{env.X}", "<path>": "{env.X}", "<placeholder>": "{env.X}", "<scheme>": "{env.X}", "<scope>": "{env.X}", "<scope|scope=provider_scope,...>": "{env.X}", "<server id>": "{env.X}",
	"<sha256:hash|placeholder>": "{env.X}", "<sha256:hash|placeholder|required>": "{env.X}", "<text>": "{env.X}", "<upstream URL>": "{env.X}", "<uri>": "{env.X}", "<url>": "{env.X}", "<value>": "{env.X}",
}

// samples returns arguments that an option can be read with.
func samples(t *testing.T, o option[any]) string {
	t.Helper()
	var b strings.Builder
	for _, a := range o.arguments() {
		switch {
		case a.optional:
			return b.String()
		case a.words != nil:
			b.WriteString(" " + a.words[0])
		default:
			sample, known := sampleOf[a.text]
			if !known {
				t.Fatalf("%s %s: write into sampleOf what can be read as %s", o.name, o.args, a.text)
			}
			b.WriteString(" " + sample)
		}
	}
	return b.String()
}

// Blocks that stand in others are known, too: what is written in the wrong one
// is led to the right one.
func TestAllBlocksAreKnown(t *testing.T) {
	var check func(g grammar)
	check = func(g grammar) {
		for _, u := range usages(g) {
			if _, isFree := u.block.(free); u.block == nil || isFree {
				continue
			}
			if !slices.ContainsFunc(blocks(), func(b namedBlock) bool { return reflect.DeepEqual(b.grammar.names(), u.block.names()) }) {
				t.Errorf("the block of %s is not in blocks()", u.option)
			}
			check(u.block)
		}
	}
	check(siteOptions)
	check(globalOptions())
}
