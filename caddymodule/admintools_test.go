package caddymodule

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/cli"
)

// commandOutput runs `caddy mcp-oauth` with the arguments, and returns what it prints.
func commandOutput(args ...string) (string, error) {
	cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cli.Add(cmd)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func wantIn(t *testing.T, what, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%s: got\n%s\nwithout %s", what, got, w)
		}
	}
}

// An operator sees what changed, with what a server wrote escaped, and approves what
// was shown.
func TestOperatorApprovesTools(t *testing.T) {
	p := newPinned(t, "pin_tools hold")
	addr := p.withAdmin(p.lines)
	p.want("alice", "read", "write")
	p.server.describe("read", "Reads.\x1b[2J\u202e\u200bsecretly")
	p.server.describe("new", "New.")
	p.want("alice", "write")

	got, err := commandOutput("tools", "list", "a", "--address", addr)
	if err != nil {
		t.Fatal(err)
	}
	wantIn(t, "tools list", got, `"read" is changed`, "inputSchema.description", `- "Reads."`, `+ "Reads.\x1b[2J\u202e\u200bsecretly"`, "first_list", `"new" is new`)
	if strings.ContainsAny(got, "\x1b\u202e\u200b") {
		t.Errorf("what a server wrote reaches the terminal: %q", got)
	}
	answer := admin(t, addr, "GET", "/mcp_oauth/tools?server=a", 200)
	wantIn(t, "GET tools", answer, `"mode":"hold"`, `"state":"changed"`, `"state":"approved"`, `"state":"new"`)
	admin(t, addr, "GET", "/mcp_oauth/tools?server=b", 404)

	wantIn(t, "may", admin(t, addr, "GET", "/mcp_oauth/access?subject=alice&server=a&name=read", 200), `"allowed":false,"why":"it is new, or changed, and was not approved yet: caddy mcp-oauth tools approve a read"`)
	if _, err := commandOutput("tools", "approve", "a", "write", "--yes", "--address", addr); err == nil {
		t.Error("what is approved was approved")
	}
	if _, err := commandOutput("tools", "approve", "a", "read", "--address", addr); err == nil || !strings.Contains(err.Error(), "nothing was done") {
		t.Errorf("without being asked: %v", err)
	}
	p.want("alice", "write")
	if _, err := commandOutput("tools", "approve", "a", "read", "--yes", "--address", addr); err != nil {
		t.Fatal(err)
	}
	p.want("alice", "read", "write")
	if _, err := commandOutput("tools", "approve", "a", "--all", "--yes", "--address", addr); err != nil {
		t.Fatal(err)
	}
	p.want("alice", "read", "write", "new")
	if got := p.eventLines("tool.approved"); got != 2 {
		t.Errorf("%d lines about approvals, want 2", got)
	}
	for body, want := range map[string]int{
		`{"tools":[{"name":"read","hash":"` + strings.Repeat("A", 43) + `"}]}`: 409, `{"tools":[{"name":"read","hash":"x"}]}`: 400, `{}`: 400,
	} {
		adminSend(t, addr, "POST", "/mcp_oauth/tools/approve?server=a", body, want)
	}
}

// may tells who may use what, by a name as well, and of all that a server is known to
// have.
func TestMay(t *testing.T) {
	s := offer(t, []offeredTool{{Name: "read", Annotations: map[string]bool{"readOnlyHint": true}}, {Name: "delete_repo"}, {Name: "run"}})
	lines := people("alice", "bob") + "server github /github " + s.URL + " {\ntools {\ndeny delete_* key:alice\nallow * read_only\nallow run key:bob when `tool.args.x == 1`\n}\n}\nserver open /open " + s.URL + "\n"
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	run := func(want string, args ...string) string {
		t.Helper()
		got, err := commandOutput(append([]string{"may", "--address", addr}, args...)...)
		if failed := err != nil; failed != (want != "yes") {
			t.Errorf("%v: error %v, want it to say %s", args, err, want)
		}
		return got
	}
	got := run("no", "alice", "github", "delete_repo")
	wantIn(t, "delete_repo", got, "virtual_key:alice", "deny delete_* key:alice (rule 1 for tools)")
	wantIn(t, "read, not listed yet", run("no", "alice", "github", "read"), "no rule allows it", "annotations")
	wantIn(t, "run", run("yes", "virtual_key:bob", "github", "run"), "rule 3 for tools", "arguments")
	wantIn(t, "another server", run("yes", "bob", "open", "delete_repo"), "there are no rules for it")
	listedTools(t, func(body string) (int, string) {
		res := g.call("POST", "/github", body)
		return res.StatusCode, status(t, res, 200)
	})
	wantIn(t, "read, once it was listed", run("yes", "alice", "github", "read"), "allow * read_only")
	all := run("yes", "alice", "github")
	wantIn(t, "all", all, "they may use the server", "delete_repo", "read", "run", "no rule allows it")
	answer := admin(t, addr, "GET", "/mcp_oauth/access?subject=bob&server=github", 200)
	wantIn(t, "the API", answer, `"subject":"virtual_key:bob"`, `{"kind":"tool","name":"delete_repo","allowed":false`, `{"kind":"tool","name":"run","allowed":true`, `"unknown":["arguments"]`)

	admin(t, addr, "GET", "/mcp_oauth/access?subject=nobody&server=github", 404)
	admin(t, addr, "GET", "/mcp_oauth/access?subject=alice&server=other", 404)
}

// A name that several have is not taken for either of them.
func TestMayByNameOfSeveral(t *testing.T) {
	s := offer(t, nil)
	lines := "identity user_id\n" + people("alice") + "server open /open " + s.URL + "\n"
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	g.identity, g.typed = "user-id", url.Values{"user_id": {"alice"}}
	g.signIn("client", g.url+"/open")
	got := admin(t, addr, "GET", "/mcp_oauth/access?subject=alice&server=open", 400)
	wantIn(t, "alice", got, "user_id:alice", "virtual_key:alice")
}

// A name in a rule that stands for nothing a server has is told, with its line, once the
// server has listed all it has.
func TestUnmatchedNamesAreTold(t *testing.T) {
	s := offer(t, []offeredTool{{Name: "read"}, {Name: "delete_repo"}, {Name: "third"}})
	s.form = 2 // pages
	g := newGateway(t, alice+"server a /a "+s.URL+" {\ntools {\ndeny remove_* Delete_Repo\nallow read wirte\n}\n}\n")
	send := func(body string) (int, string) {
		res := g.call("POST", "/a", body)
		return res.StatusCode, status(t, res, 200)
	}
	send(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	activeApp().state.syncOffers(t.Context())
	if strings.Contains(g.log(), "matches no tool") {
		t.Error("told after the first page")
	}
	listedTools(t, send)
	for range 3 {
		activeApp().state.syncOffers(t.Context())
	}
	for _, want := range []string{"`remove_*` matches no tool that the server listed, at Caddyfile:", "`wirte` matches no tool"} {
		if got := strings.Count(g.log(), want); got != 1 {
			t.Errorf("%s: %d lines, want 1", want, got)
		}
	}
	if strings.Contains(g.log(), "`Delete_Repo` matches no") || strings.Contains(g.log(), "`read` matches no") {
		t.Error("a name that matches is told")
	}
}
