package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/hashchain"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// withAudit returns a Caddyfile with an audit log of its own.
func withAudit(text, output string) string {
	return strings.Replace(text, "\tmcp_oauth {\n\t\tstorage", "\tlog audit {\n\t\tinclude mcp_oauth_audit\n\t\toutput "+output+"\n\t}\n\tmcp_oauth {\n\t\tstorage", 1)
}

// auditLines returns the lines of an audit log whose event begins so.
func auditLines(t *testing.T, path, event string) (found []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if name, _ := fields["event"].(string); strings.HasPrefix(name, event) {
			found = append(found, fields)
		}
	}
	return found
}

// wantFields checks fields of a line; what shall be missing is "".
func wantFields(t *testing.T, line map[string]any, want ...string) {
	t.Helper()
	for i := 0; i < len(want); i += 2 {
		got := ""
		if v, ok := line[want[i]]; ok {
			got = fmt.Sprint(v)
		}
		if got != want[i+1] {
			t.Errorf("%s is %q, want %q in %v", want[i], got, want[i+1], line)
		}
	}
}

// Who did what with what outcome is in the audit log, whatever clients and servers
// send, in a chain that goes on through reloads; and nothing that is secret.
func TestAuditLog(t *testing.T) {
	notion := newService(t)
	lines := people("alice", "bob") + notion.server("optional") + "server tools /tools " + oauthtest.Serve(t, answerer()).URL + "\naudit on\n"
	g := newGateway(t, lines)
	path := filepath.Join(g.dir, "audit.log")
	addr := freeAddr(t)
	text := strings.Replace(withAudit(g.caddyfile(lines), "mcp_oauth_chain "+path), "admin off", "admin "+addr, 1)
	g.load(text)

	alice := g.person("alice")
	alice.connect("notion")
	status(t, alice.call(toolCall, "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), 200)
	finished := 1
	tools := func(body string, headers ...string) {
		t.Helper()
		_ = status(t, g.call("POST", "/tools", body, append([]string{"Authorization", "Bearer " + keyOf("bob"), "Content-Type", "application/json", "Accept-Encoding", "gzip"}, headers...)...), 200)
		// The line of a call is written after its answer.
		finished += strings.Count(body, "tools/call")
		oauthtest.Eventually(t, "a line is missing", func() bool { return len(auditLines(t, path, "call.finished")) == finished })
	}
	call := func(tool string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":{"secret":"canary-argument"}}}`
	}
	for _, tool := range []string{"ok", "tool_error", "error", "stream", "stream_error", "gzip"} {
		tools(call(tool))
	}
	tools("[" + call("first") + "," + call("second") + "]")
	tools(strings.Replace(call("twice"), `"id":1`, `"id":1,"method":"ping"`, 1))
	tools(strings.Replace(call("large"), "canary-argument", strings.Repeat("x", 100<<10), 1))
	g.load(text + "\n# again")
	answer := g.signInWith(keyOf("alice"))
	status(t, g.call("POST", "/mcp", toolCall, "Authorization", "Bearer "+accessToken(t, answer), "Content-Type", "application/json"), 200)
	adminSend(t, addr, "DELETE", "/mcp_oauth/grants?subject=virtual_key:alice", "", 200)

	calls := auditLines(t, path, "call.finished")
	if len(calls) != 12 {
		t.Fatalf("%d calls, want 12: %v", len(calls), calls)
	}
	wantFields(t, calls[0], "person", "virtual_key:alice", "server", "notion", "method", "tools/call", "tool", "whoami", "account", "own", "client_id", "",
		"status", "200", "outcome", "result", "http", "POST", "address", "127.0.0.1", "site", g.url, "trace_id", "4bf92f3577b34da6a3ce929d0e0e4736", "unread", "")
	connection, _ := calls[0]["connection"].(string)
	if connected := auditLines(t, path, "connection.connected"); len(connected) != 1 || connected[0]["connection"] != connection || connection == "" {
		t.Errorf("connection %q of %v", connection, connected)
	}
	for i, want := range []string{"result", "tool_error", "error", "result", "error", ""} {
		wantFields(t, calls[1+i], "person", "virtual_key:bob", "server", "tools", "outcome", want, "account", "", "connection", "")
	}
	wantFields(t, calls[3], "code", "-32602", "tool", "error")
	wantFields(t, calls[7], "tool", "first", "method", "tools/call")
	wantFields(t, calls[8], "tool", "second", "call", fmt.Sprint(calls[7]["call"]))
	wantFields(t, calls[9], "unread", "true", "tool", "twice")
	wantFields(t, calls[10], "unread", "true", "tool", "large", "method", "tools/call")
	wantFields(t, calls[11], "person", "virtual_key:alice", "client_id", g.client, "account", "own")
	for _, event := range []string{"sign_in.succeeded", "consent.given", "token.issued", "operator.acted", "grant.ended"} {
		if len(auditLines(t, path, event)) == 0 {
			t.Errorf("no line of %s", event)
		}
	}
	for _, event := range []string{"consent.given", "token.issued", "operator.acted", "grant.ended"} { // each happened once
		if n := len(auditLines(t, path, event)); n != 1 {
			t.Errorf("%d lines of %s", n, event)
		}
	}
	wantFields(t, auditLines(t, path, "consent.given")[0], "person", "virtual_key:alice", "client_id", g.client, "by", "person")
	wantFields(t, auditLines(t, path, "operator.acted")[0], "by", "operator", "person", "virtual_key:alice", "address", "127.0.0.1")
	if len(auditLines(t, path, "call.started")) > 0 {
		t.Error("calls have two lines though that is not required")
	}

	if r, err := hashchain.Verify([]string{path}); err != nil || !r.Whole() || r.First != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string]string{
		"a key": keyOf("alice"), "an access token": accessToken(t, answer), "a code": g.code, "an argument": "canary-argument", "a state": "state-canary", "a token of the provider": "at-",
	} {
		if strings.Contains(string(all), secret) {
			t.Errorf("the audit log has %s", what)
		}
	}
	if strings.Contains(g.log(), `"event":"call.finished"`) || !strings.Contains(g.log(), `"event":"audit.head"`) {
		t.Error("the default log has calls, or no end of the chain")
	}
}

// The line of a call whose server answers before it has read the body is written while
// the rest of it may still be sent.
func TestAuditOfCallsAnsweredEarly(t *testing.T) {
	up := oauthtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) }))
	lines := people("alice") + "server tools /tools " + up.URL + "\naudit on\n"
	g := newGateway(t, lines)
	path := filepath.Join(g.dir, "audit.log")
	g.load(withAudit(g.caddyfile(lines), "mcp_oauth_chain "+path))
	body := "[" + strings.Repeat(`{"method":"tools/call","params":{"name":"x"}},`, 50_000) + "{}]"
	const calls = 10
	for range calls { // the race detector judges
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/tools", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {"Bearer " + keyOf("alice")}, "Content-Type": {"application/json"}}
		if res, err := http.DefaultClient.Do(r); err == nil { // else it was still sent when the connection was closed
			_ = res.Body.Close()
		}
	}
	oauthtest.Eventually(t, "a line is missing", func() bool { return len(auditLines(t, path, "call.finished")) == calls })
}

// answerer is an MCP server that answers as the name of the tool says.
func answerer() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var call struct{ Params struct{ Name string } }
		_ = json.NewDecoder(r.Body).Decode(&call)
		body := map[string]string{
			"tool_error":   `{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}`,
			"error":        `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}`,
			"stream_error": `{"jsonrpc":"2.0","id":1,"error":{"code":5,"message":"x"}}`,
		}[call.Params.Name]
		if body == "" {
			body = `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`
		}
		if strings.HasPrefix(call.Params.Name, "stream") {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\ndata: %s\n\n", body)
			return
		}
		if call.Params.Name == "gzip" {
			w.Header().Set("Content-Encoding", "gzip")
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, body)
	}
}

// Where it is required, a call has its line before it is made; without one, it is
// not made, and is again when there is room.
func TestAuditRequired(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := alice + "server a /mcp " + up.URL + "\naudit required\n"
	g := newGateway(t, lines)
	path := filepath.Join(g.dir, "audit.log")
	g.load(withAudit(g.caddyfile(lines), "mcp_oauth_chain "+path))
	status(t, g.call("POST", "/mcp", toolCall, "Content-Type", "application/json"), 200)
	started, finished := auditLines(t, path, "call.started"), auditLines(t, path, "call.finished")
	if len(started) != 1 || len(finished) != 1 || started[0]["call"] != finished[0]["call"] {
		t.Fatalf("%v and %v", started, finished)
	}
	wantFields(t, started[0], "tool", "whoami", "person", "virtual_key:alice", "status", "")

	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no disk that is always full here")
	}
	before := up.Hits()
	for _, output := range []string{"file /dev/full {\nroll_disabled\n}", "mcp_oauth_chain /dev/full {\nroll_disabled\n}"} {
		g.load(withAudit(g.caddyfile(lines), output))
		body := status(t, g.call("POST", "/mcp", toolCall, "Content-Type", "application/json"), 503)
		if up.Hits() != before || !strings.Contains(body, "cannot be recorded") {
			t.Errorf("%s: %d calls were made: %s", output, up.Hits()-before, body)
		}
		var answer struct {
			Error struct{ Data map[string]string }
		}
		_ = json.Unmarshal([]byte(body), &answer)
		wantFields(t, logLine(t, g.log(), answer.Error.Data["correlation_id"]), "event", "call.failed", "reason", "not_audited", "person", "virtual_key:alice")
		if !strings.Contains(g.log(), "no space left on device") {
			t.Error("the log does not say why")
		}
	}
	// Where it is not required, calls go on, and the log says what is missing.
	g.load(withAudit(g.caddyfile(strings.Replace(lines, "audit required", "audit on", 1)), "file /dev/full {\nroll_disabled\n}"))
	status(t, g.call("POST", "/mcp", toolCall, "Content-Type", "application/json"), 200)
	wantFields(t, logLine(t, g.log(), `"event":"audit.failed"`), "level", "error")
	g.load(withAudit(g.caddyfile(lines), "mcp_oauth_chain "+path))
	status(t, g.call("POST", "/mcp", toolCall, "Content-Type", "application/json"), 200)
	if r, err := hashchain.Verify([]string{path}); err != nil || !r.Whole() || r.Head.Seq < 4 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A configuration whose audit log nobody would write is refused.
func TestAuditNeedsALog(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	text := g.caddyfile(alice + "server a /mcp http://127.0.0.1:1/mcp\naudit on\n")
	for name, bad := range map[string]string{
		"discarded": withAudit(text, "discard"),
		"a level":   strings.Replace(withAudit(text, "stderr"), "output stderr", "output stderr\nlevel ERROR", 1),
	} {
		if err := loadCaddyfile(bad); err == nil || !strings.Contains(err.Error(), "include mcp_oauth_audit") || !strings.Contains(err.Error(), "Caddyfile:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each site has a logger of its own, so that each can have a file of its own.
func TestAuditOfSeveralSites(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	other := freeAddr(t)
	_, port, _ := strings.Cut(g.addr, ":")
	_, otherPort, _ := strings.Cut(other, ":")
	text := g.caddyfile(alice + "audit on\nserver a /mcp " + up.URL)
	site := text[strings.Index(text, "http://"+g.addr+" {"):]
	text += strings.ReplaceAll(site, g.addr, other)
	dir := t.TempDir()
	for _, p := range []string{port, otherPort} {
		text = strings.Replace(text, "\tmcp_oauth {\n\t\tstorage", fmt.Sprintf("\tlog audit%[1]s {\n\t\tinclude mcp_oauth_audit.127.0.0.1_%[1]s\n\t\toutput mcp_oauth_chain %[2]s/%[1]s.log\n\t}\n\tmcp_oauth {\n\t\tstorage", p, dir), 1)
	}
	g.load(text)
	status(t, g.call("POST", "/mcp", toolCall, "Content-Type", "application/json"), 200)
	g2 := &instance{t: t, url: "http://" + other, addr: other, dir: g.dir, logs: g.logs}
	status(t, g2.call("POST", "/mcp", toolCall, "Content-Type", "application/json"), 200)
	for _, p := range []string{port, otherPort} {
		calls := auditLines(t, filepath.Join(dir, p+".log"), "call.finished")
		if len(calls) != 1 || calls[0]["site"] != "http://127.0.0.1:"+p {
			t.Errorf("site at port %s: %v", p, calls)
		}
	}
}

// heard is what a handler of Caddy's events hears.
type heard struct {
	mu     sync.Mutex
	events []caddy.Event
}

var eventsHeard heard

func init() { caddy.RegisterModule(&heard{}) }

func (*heard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.test_heard", New: func() caddy.Module { return &heard{} }}
}

func (*heard) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }

func (*heard) Handle(_ context.Context, e caddy.Event) error {
	eventsHeard.mu.Lock()
	defer eventsHeard.mu.Unlock()
	eventsHeard.events = append(eventsHeard.events, e)
	return nil
}

// Operators subscribe to what happens in Caddy's own way.
func TestCaddyEvents(t *testing.T) {
	lines := people("alice") + "server a /mcp http://127.0.0.1:1/mcp"
	g := newGateway(t, lines)
	text := strings.Replace(g.caddyfile(lines), "\tmcp_oauth {\n\t\tstorage", "\tevents {\n\t\ton mcp_oauth.sign_in.refused test_heard\n\t\ton mcp_oauth.sign_in.succeeded test_heard\n\t}\n\tmcp_oauth {\n\t\tstorage", 1)
	g.load(text)
	alice := g.person("alice")
	alice.post("/oauth/account/vk", g.page(alice.visit(g.url+"/oauth/account")), "vk", "wrong")
	alice.accountPage()
	oauthtest.Eventually(t, "the events are not heard", func() bool {
		eventsHeard.mu.Lock()
		defer eventsHeard.mu.Unlock()
		return len(eventsHeard.events) >= 2
	})
	eventsHeard.mu.Lock()
	defer eventsHeard.mu.Unlock()
	refused, in := eventsHeard.events[0], eventsHeard.events[1]
	if refused.Name() != "mcp_oauth.sign_in.refused" || refused.Origin().CaddyModule().ID != "mcp_oauth.events" {
		t.Errorf("heard %s of %s", refused.Name(), refused.Origin().CaddyModule().ID)
	}
	wantFields(t, refused.Data, "event", "sign_in.refused", "site", g.url, "address", "127.0.0.1")
	wantFields(t, in.Data, "person", "virtual_key:alice", "identity", "virtual_key")
	if text, _ := json.Marshal(refused.Data); strings.Contains(string(text), "wrong-") {
		t.Errorf("a secret: %s", text)
	}
}
