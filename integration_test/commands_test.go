//go:build integration

package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// operated is a gateway with people, applications and accounts for an operator to
// see.
func operated(t *testing.T) (g *harness.Gateway, tokens []harness.Tokens) {
	t.Helper()
	w := runOwn(t, time.Hour, `server tracker /tracker http://127.0.0.1:1/mcp {
		auth oauth
		identity_jwt X-Identity
	}`)
	for _, who := range residents(t)[:2] {
		tokens = append(tokens, w.signIn(t, who, "/notes"))
	}
	return w.Gateway, tokens
}

// mcpOAuth runs a command beside the gateway.
func mcpOAuth(g *harness.Gateway, env []string, args ...string) (out, said string, err error) {
	cmd := g.Command(append([]string{"mcp-oauth"}, args...)...)
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	someID     = regexp.MustCompile(`\b(CLIENT|GRANT|CONNECTION)_ID\b`)
)

// Every command of docs/commands.md does what it is there for, and none of them
// shows what nobody may see.
func TestDocumentedCommands(t *testing.T) {
	g, tokens := operated(t)
	text, err := os.ReadFile("../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"CADDY_ADMIN=" + g.AdminAddress()}
	lists := map[string]string{"CLIENT": "clients --origin registered", "GRANT": "grants", "CONNECTION": "connections"}
	all, ran := "", 0
	for _, list := range []string{
		"status", "people", "people show virtual_key:alice", "people show virtual_key:bob", "grants", "clients", "keys", "connections", "providers", "signing-keys",
	} {
		for _, form := range []string{list, list + " --json"} {
			out, said, err := mcpOAuth(g, env, strings.Fields(form)...)
			if err != nil || out == "" {
				t.Errorf("%s: %v, printed %q, said %q", form, err, out, said)
			}
			all += out + said
		}
	}
	for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			args := strings.Fields(strings.TrimPrefix(line, "caddy mcp-oauth"))
			for i, arg := range args {
				if id := someID.FindStringSubmatch(arg); id != nil {
					args[i] = firstID(t, g, env, lists[id[1]])
				}
			}
			out, said, err := mcpOAuth(g, env, args...)
			if err != nil {
				t.Errorf("%s%v; it printed\n%s%s", line, err, out, said)
			}
			if out == "" {
				t.Errorf("%sprinted nothing, but said %q", line, said)
			}
			all, ran = all+out+said, ran+1
		}
	}
	if ran < 25 {
		t.Errorf("only %d commands are documented", ran)
	}
	if strings.ContainsRune(all, '\ufffd') {
		t.Error("a command printed what it had to replace")
	}
	secrets := []string{aliceKey, bobKey}
	for _, one := range tokens {
		secrets = append(secrets, one.AccessToken, one.RefreshToken)
	}
	for _, secret := range secrets {
		if strings.Contains(all, secret) {
			t.Errorf("a command showed %q", secret)
		}
	}
}

// firstID returns the id of the first entry of a list.
func firstID(t *testing.T, g *harness.Gateway, env []string, list string) string {
	t.Helper()
	out, said, err := mcpOAuth(g, env, append(strings.Fields(list), "--json")...)
	var answer map[string]json.RawMessage
	var entries []struct{ ID string }
	if err == nil {
		err = json.Unmarshal([]byte(out), &answer)
	}
	if err == nil {
		err = json.Unmarshal(answer[strings.Fields(list)[0]], &entries)
	}
	if err != nil || len(entries) == 0 {
		t.Fatalf("%s: error %v, got %s%s; want entries", list, err, out, said)
	}
	return entries[0].ID
}

// A command that cannot do what it was asked for says why, in words, on the standard
// error, and its exit status is 1.
func TestCommandsThatCannot(t *testing.T) {
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{Directives: identities + "server recorder /mcp " + upstream.URL, Env: keys})
	here := "--address=" + g.AdminAddress()
	off, broken := g.Dir+"/off.caddyfile", g.Dir+"/broken.caddyfile"
	for file, text := range map[string]string{off: "{\n\tadmin off\n}\n", broken: "{\n\tadmin localhost:2019 off\n}\nx {\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket := g.Dir + "/admin.sock"
	for name, test := range map[string]struct {
		args string
		want string
	}{
		"nobody listens":         {"--address 127.0.0.1:1 people", "no Caddy answers at 127.0.0.1:1"},
		"no socket":              {"--address unix/" + socket + " people", "no Caddy answers at unix/" + socket},
		"no address":             {"--address 127.0.0.1:1-9 people", "is not the address of an admin API"},
		"an address with a path": {"--address 127.0.0.1:2019/mcp people", "is not the address of an admin API"},
		"another server":         {"--address " + upstream.URL[:strings.LastIndex(upstream.URL, "/")] + " people", "is not the admin API of Caddy"},
		"admin off":              {"--config " + off + " status", "turns the admin API off"},
		"broken configuration":   {"--config " + broken + " status", "cannot be read"},
		"no configuration":       {"--config " + g.Dir + "/none status", "no such file"},
		"unknown command":        {"peeple", `there is no command "peeple"`},
		"unknown audit command":  {"audit verfy", `there is no command "verfy"`},
		"unknown subcommand":     {"people shoe", `there is no command "shoe"`},
		"unknown flag":           {"people --color", "unknown flag"},
		"unknown grant":          {here + " grants show x", `there is no valid grant "x"`},
		"unknown client":         {here + " clients delete x --yes", `there is no client "x"`},
		"unknown key":            {here + " keys rotate x", "there is no virtual key"},
		"unknown connection":     {here + " connections disconnect x --yes", "there is no connection of this id"},
		"unknown site":           {here + " grants --site https://x.example", "there is no site"},
		"unknown server":         {here + " keys --server x", `there is no server "x"`},
		"nobody":                 {here + " people show virtual_key:carol", `nobody called "virtual_key:carol"`},
		"no subject":             {here + " people show alice", "begins with the way to sign in"},
		"wrong status":           {here + " keys --status broken", "status is one of: active, disabled, expired"},
		"wrong limit":            {here + " people --limit 0", "limit is a number from 1 to 1000"},
		"not asked":              {here + " people revoke virtual_key:alice", "add --yes"},
		"grants of nobody":       {here + " grants end --yes", "say which grant"},
		"a key of configuration": {here + " keys disable alice", "is a key of the configuration"},
		"nothing to change":      {here + " keys change alice", "at least one of the flags"},
	} {
		t.Run(name, func(t *testing.T) {
			out, said, err := mcpOAuth(g, nil, strings.Fields(test.args)...)
			exit, isExit := err.(*exec.ExitError)
			if !isExit || exit.ExitCode() != 1 || !strings.Contains(said, test.want) || out != "" {
				t.Errorf("%v, printed %q, said\n%s\nwant %q", err, out, said, test.want)
			}
		})
	}
}

// Commands show the configuration that serves: after a reload that failed, beside a
// second Caddy that could not start, and when no site is left.
func TestCommandsShowWhatServes(t *testing.T) {
	g := harness.Run(t, harness.Config{Directives: identities + "server recorder /mcp " + harness.Record(t).URL, Env: keys})
	here := "--address=" + g.AdminAddress()
	serves := func() {
		t.Helper()
		out, said, err := mcpOAuth(g, nil, here, "status", "--json")
		if err != nil || !strings.Contains(out, `"id": "recorder"`) {
			t.Errorf("%v, got\n%s%s\nwant what serves", err, out, said)
		}
	}
	serves()
	// A shell is told the names that there are.
	for typed, want := range map[string]string{
		"keys show ": "alice\nbob\n", "keys --server ": "recorder\n", "people --site ": g.URL + "\n", "keys --status ": "active\ndisabled\nexpired\n",
	} {
		args := append([]string{"__complete", "mcp-oauth", here}, strings.Split(typed, " ")...)
		if out, err := g.Command(args...).Output(); err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("completion of %q: %v, got %q, want %q", typed, err, out, want)
		}
	}
	before, err := os.ReadFile(g.Caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	g.Configure(t, strings.Replace(string(before), "server recorder /mcp", "server other /mcp {env.NONE}\nserver recorder /recorder", 1))
	if out, err := g.Command("reload", "--force", "--config", g.Caddyfile, "--address", g.AdminAddress()).CombinedOutput(); err == nil {
		t.Fatalf("the reload did not fail: %s", out)
	}
	serves()
	g.Configure(t, string(before))
	if out, err := g.Twin(t).CombinedOutput(); err == nil {
		t.Fatalf("a second Caddy ran: %s", out)
	}
	serves()
	g.Configure(t, "{\n\tadmin "+g.AdminAddress()+"\n}\n"+strings.TrimPrefix(g.URL, "https://")+" {\n\trespond ok\n}\n")
	g.Reload(t)
	for _, command := range []string{"status", "people", "health", "signing-keys"} {
		if out, said, err := mcpOAuth(g, nil, here, command); err == nil || !strings.Contains(said, "no site") {
			t.Errorf("%s without a site: %v, %q, %q", command, err, out, said)
		}
	}
}

// onTerminal runs a command on a terminal of so many columns, on which somebody types.
func onTerminal(t *testing.T, g *harness.Gateway, columns int, typed, command string) (printed string, err error) {
	t.Helper()
	run := g.Command()
	line := fmt.Sprintf("stty cols %d; %s mcp-oauth --address %s %s", columns, run.Path, g.AdminAddress(), command)
	cmd := exec.Command("script", "--quiet", "--return", "--command", line, "/dev/null")
	cmd.Env, cmd.Dir, cmd.Stdin = run.Env, run.Dir, strings.NewReader(typed)
	out, err := cmd.CombinedOutput()
	return strings.ReplaceAll(string(out), "\r\n", "\n"), err
}

// On a terminal, what ends something asks before, and no table is wider than it.
func TestCommandsOnATerminal(t *testing.T) {
	g := harness.Run(t, harness.Config{Directives: identities + "server recorder /mcp " + harness.Record(t).URL, Env: keys})
	g.SignIn(t, alice, "/mcp")
	for _, test := range []struct {
		typed, want string
		ends        bool
	}{
		{"n\n", "nothing was done", false},
		{"\n", "nothing was done", false},
		{"y\n", "1 grant and 0 connections ended.", true},
	} {
		printed, err := onTerminal(t, g, 200, test.typed, "people revoke virtual_key:alice")
		if (err == nil) != test.ends || !strings.Contains(printed, "[y/N]") || !strings.Contains(printed, test.want) {
			t.Errorf("typed %q: %v, printed\n%s\nwant %q", test.typed, err, printed, test.want)
		}
	}
	g.SignIn(t, bob, "/mcp")
	for _, columns := range []int{300, 110, 60, 40} {
		printed, err := onTerminal(t, g, columns, "", "grants")
		if err != nil || !strings.Contains(printed, "virtual_key:") {
			t.Errorf("%d columns: %v, printed\n%s", columns, err, printed)
		}
		for line := range strings.Lines(printed) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns && columns > 60 {
				t.Errorf("%d columns: a line has %d: %s", columns, n, line)
			}
		}
	}
}
