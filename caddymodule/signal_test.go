package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// What package gateway leaves for the answer in a retry, and how often it asks.
const (
	answerRoom         = 1 << 10
	scopeAsksPerMinute = 3
)

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"url":{}}}}`

var connectLink = regexp.MustCompile(`http://[0-9.:]+/oauth/connect/[A-Za-z0-9_-]+`)

// client is somebody's OAuth client, with the tokens it got last.
type client struct {
	*person
	access, refresh string
}

// signIn signs nobody in particular in to a client, in the person's browser.
func (p *person) signIn(connects ...string) *client {
	p.g.t.Helper()
	p.g.browser, p.g.connects = p.browser, connects
	defer func() { p.g.browser, p.g.connects = nil, nil }()
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(p.g.signIn("client", p.g.url+"/mcp")), &tokens); err != nil {
		p.g.t.Fatal(err)
	}
	return &client{p, tokens.Access, tokens.Refresh}
}

func (c *client) send(body string, headers ...string) *http.Response {
	c.g.t.Helper()
	return c.call(body, append([]string{"Authorization", "Bearer " + c.access}, headers...)...)
}

// follow opens the link that an answer has, and connects there.
func (p *person) follow(answer string) {
	p.g.t.Helper()
	link := connectLink.FindString(answer)
	if link == "" {
		p.g.t.Fatalf("no link in %s", answer)
	}
	if page := p.open(link); !strings.Contains(page, "onnected") {
		p.g.t.Fatalf("not connected: %s", page)
	}
}

// open opens a link, presses the button there, and returns the page on which
// the way to the provider and back ends.
func (p *person) open(link string) string {
	p.g.t.Helper()
	page := p.g.page(p.visit(link))
	ticket := link[strings.LastIndex(link, "/")+1:]
	return p.post("/oauth/account/connect", page, "ticket", ticket)
}

// D-23, D-25: revision 2026-07-28. The waiting call succeeds on retry.
func TestAskToConnect_InputRequired(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server("optional"))
	c := g.person("alice").signIn()
	version := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "whoami"}
	call := func(more string) string {
		return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami",` + more + modernMeta + `}}`
	}
	answer := status(t, c.send(call(""), version...), http.StatusOK)
	var asked struct {
		ID     int
		Result struct {
			ResultType    string
			InputRequests map[string]struct{ Params struct{ Mode, URL string } }
			RequestState  string
		}
	}
	if err := json.Unmarshal([]byte(answer), &asked); err != nil {
		t.Fatal(err)
	}
	input := asked.Result.InputRequests["gw.connect.notion"]
	if asked.ID != 7 || asked.Result.ResultType != "input_required" || input.Params.Mode != "url" || asked.Result.RequestState == "" {
		t.Fatalf("answer %s", answer)
	}
	retry := func(action string) string {
		return call(`"requestState":"` + asked.Result.RequestState + `","inputResponses":{"gw.connect.notion":{"action":"` + action + `"}},`)
	}
	if got := status(t, c.send(retry("accept"), version...), http.StatusOK); !strings.Contains(got, "input_required") {
		t.Errorf("agreed and not connected: %s", got)
	}
	if got := status(t, c.send(retry("decline"), version...), http.StatusOK); !strings.Contains(got, `"isError":true`) {
		t.Errorf("declined: %s", got)
	}
	status(t, c.send(strings.Replace(retry("accept"), "whoami", "delete", 1), version...), http.StatusBadRequest)
	c.follow(answer)
	got := status(t, c.send(retry("accept"), version...), http.StatusOK)
	if !strings.Contains(got, `"account":"alice"`) || strings.Contains(got, "requestState") || strings.Contains(got, "inputResponses") {
		t.Errorf("retry: %s", got)
	}
	if theirs := call(`"requestState":"of-the-upstream",`); !strings.Contains(status(t, c.send(theirs, version...), http.StatusOK), "of-the-upstream") {
		t.Error("the upstream's own state is gone")
	}
}

// D-25: the upstream never sees a state of ours. A client whose retry would be
// too large to be kept, and so to be looked into, gets no state.
func TestAskToConnect_LargeRequest_D25(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server("optional"))
	c := g.person("alice").signIn()
	call := func(size int, more string) string {
		start := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami","x":"`
		end := `",` + modernMeta + `}}`
		return start + strings.Repeat("x", size-len(start)-len(end)) + `",` + more + end[2:]
	}
	version := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "whoami"}
	states := map[int]string{}
	asked := func(size int) bool {
		res := c.send(call(size, ""), version...)
		if res.StatusCode == http.StatusForbidden { // the next best
			wantChallenge(t, res, `error="insufficient_scope"`)
			return false
		}
		answer := status(t, res, http.StatusOK)
		state := requestState.FindStringSubmatch(answer)
		if state == nil { // in words, as a link is open
			if !strings.Contains(answer, `"isError":true`) || !connectLink.MatchString(answer) {
				t.Fatalf("%d bytes: answer %s", size, answer)
			}
			return false
		}
		states[size] = state[1]
		return true
	}
	const room = 4 << 10
	tooLarge := mcp.MaxRequest - room + sort.Search(room, func(n int) bool { return !asked(mcp.MaxRequest - room + n) })
	if largest := tooLarge - 1; asked(mcp.MaxRequest) || !asked(largest) {
		t.Fatalf("no bound: asked with %d bytes", largest)
	}
	c.connect("notion")
	retry := call(tooLarge-1, `"requestState":"`+states[tooLarge-1]+`","inputResponses":{"gw.connect.notion":{"action":"accept","content":{"`+strings.Repeat("x", answerRoom-128)+`":1}}},`)
	if got := status(t, c.send(retry, version...), http.StatusOK); !strings.Contains(got, `"account":"alice"`) || strings.Contains(got, "requestState") {
		t.Errorf("%d bytes: the upstream got %s", len(retry), got[max(0, len(got)-500):])
	}
}

var requestState = regexp.MustCompile(`"requestState":"([^"]+)"`)

// Revision 2026-07-28 knows no input request for other methods, nor an error
// of 2025-11-25: those lead to the authorization page.
func TestAskToConnect_OtherMethodsOf2026(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server("optional"))
	c := g.person("alice").signIn()
	body := `{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{` + modernMeta + `}}`
	res := c.send(body, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list")
	status(t, res, http.StatusForbidden)
	wantChallenge(t, res, `error="insufficient_scope"`, `scope="mcp:use connect:notion"`)
	// Nor may a client that opens no URLs be asked to.
	forms := strings.NewReplacer("tools/list", "tools/call", `"url":{}`, "", `"params":{`, `"params":{"name":"whoami",`).Replace(body)
	status(t, c.send(forms, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "whoami"), http.StatusForbidden)
}

// P-2: nothing is answered from a body that the headers contradict.
func TestHeadersContradictBody_P2(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice", "bob")+notion.server("optional"))
	alice, bob := g.person("alice").signIn(), g.person("bob").signIn("notion")
	body := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami",` + modernMeta + `}}`
	headers := func(method, name string) []string {
		return []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", method, "Mcp-Name", name}
	}
	right := headers("tools/call", "whoami")
	answer := status(t, alice.send(body, right...), http.StatusOK)
	retry := strings.Replace(body, `"name"`, `"requestState":"`+requestState.FindStringSubmatch(answer)[1]+`","name"`, 1)
	for name, wrong := range map[string][]string{
		"other method": headers("tools/list", "whoami"), "other name": headers("tools/call", "delete"),
		"no method": headers("", "whoami"), "no name": headers("tools/call", ""), "none": right[:2], "no revision": right[2:],
	} {
		for what, res := range map[string]*http.Response{
			"no connection": alice.send(body, wrong...), "a retry": alice.send(retry, wrong...),
			"a retry for something else": alice.send(strings.Replace(retry, "whoami", "delete", 1), wrong...),
		} {
			if what != "no connection" && name == "no revision" {
				continue // of a revision without request states
			}
			contradicts := what != "a retry for something else" || name != "other name"
			if got := status(t, res, http.StatusBadRequest); strings.Contains(got, `"code":-32020`) != contradicts || !strings.Contains(got, `"id":7`) {
				t.Errorf("%s, %s: %s", name, what, got)
			}
		}
		notion.Change(func() { notion.Need = "write" })
		if got := status(t, bob.send(body, wrong...), http.StatusBadRequest); !strings.Contains(got, `"code":-32020`) {
			t.Errorf("%s, lacks a scope: %s", name, got)
		}
		notion.Change(func() { notion.Need = "" })
		if got := status(t, bob.send(body, wrong...), http.StatusOK); !strings.Contains(got, `"account":"bob"`) {
			t.Errorf("%s, connected: %s", name, got) // it is for the upstream to judge
		}
	}
	encoded := headers("tools/call", "=?base64?d2hvYW1p?=")
	if got := status(t, alice.send(body, encoded...), http.StatusOK); !strings.Contains(got, "input_required") {
		t.Errorf("encoded: %s", got)
	}
}

func wantChallenge(t *testing.T, res *http.Response, parts ...string) {
	t.Helper()
	challenge := res.Header.Get("WWW-Authenticate")
	for _, part := range append(parts, "/.well-known/oauth-protected-resource/mcp") {
		if !strings.Contains(challenge, part) {
			t.Errorf("challenge %q lacks %q", challenge, part)
		}
	}
	if strings.Contains(challenge, oauthtest.Canary) {
		t.Errorf("challenge %q", challenge)
	}
}

// Revision 2025-11-25, with what the client declared when it initialized.
func TestAskToConnect_URLElicitation(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server("optional"))
	alice := g.person("alice")
	alice.connect("notion")
	session := func(capabilities string) string {
		return alice.call(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{` + capabilities + `}}}`).Header.Get("Mcp-Session-Id")
	}
	urls, forms := session(`"elicitation":{"url":{}}`), session(`"elicitation":{}`)
	alice.disconnect("notion")
	// Not for revisions that do not have it yet, or not any more, whatever was
	// declared: a client can declare what it knows before it is told the revision.
	for _, revision := range []string{"", "2025-03-26", "2025-06-18", "2026-07-28"} {
		headers := []string{"Mcp-Session-Id", urls, "Mcp-Protocol-Version", revision, "Mcp-Method", "tools/call", "Mcp-Name", "whoami"}
		if got := status(t, alice.call(toolCall, headers...), http.StatusOK); strings.Contains(got, "-32042") || !strings.Contains(got, `"isError":true`) {
			t.Errorf("%q: answer %s", revision, got)
		}
	}
	for _, body := range []string{toolCall, `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`} {
		got := status(t, alice.call(body, "Mcp-Session-Id", urls, "Mcp-Protocol-Version", "2025-11-25"), http.StatusOK)
		if !strings.Contains(got, `-32042`) || !connectLink.MatchString(got) {
			t.Errorf("answer %s", got)
		}
	}
	if got := status(t, alice.call(toolCall, "Mcp-Session-Id", forms, "Mcp-Protocol-Version", "2025-11-25"), http.StatusOK); strings.Contains(got, "-32042") {
		t.Errorf("an undeclared mode: %s", got)
	}
}

// What a client sends or opens by itself while its person's account is gone
// must not end the grant before the client can be asked.
func TestUnaskedRequestsEndNoGrant(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server("optional"))
	alice := g.person("alice")
	c := alice.signIn("notion")
	session := c.send(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{"url":{}}}}}`).Header.Get("Mcp-Session-Id")
	alice.post("/oauth/account/disconnect", g.page(alice.visit(g.url+"/oauth/account")), "server", "notion")
	headers := []string{"Mcp-Session-Id", session, "Mcp-Protocol-Version", "2025-11-25"}
	stream := g.call("GET", "/mcp", "", append(headers, "Authorization", "Bearer "+c.access, "Accept", "text/event-stream")...)
	status(t, stream, http.StatusMethodNotAllowed)
	for _, body := range []string{
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, `{"jsonrpc":"2.0","id":1,"result":{}}`,
	} {
		res := c.send(body, headers...)
		status(t, res, http.StatusForbidden)
		if challenge := res.Header.Get("WWW-Authenticate"); challenge != "" {
			t.Errorf("%s: challenge %s", body, challenge)
		}
	}
	listen := `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{` + modernMeta + `}}`
	status(t, c.send(listen, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen"), http.StatusForbidden)
	if got := status(t, c.send(toolCall, headers...), http.StatusOK); !strings.Contains(got, "-32042") {
		t.Errorf("the next call: %s", got)
	}
	c.refreshTokens()
}

// An OAuth client of any revision is led back to the authorization page.
func TestAskToConnect_Authorization(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server("optional"))
	alice := g.person("alice")
	t.Run("403 with the scope of the connection", func(t *testing.T) {
		c := alice.signIn()
		for range 2 { // the grant stands
			res := c.send(toolCall, "Mcp-Protocol-Version", "2025-11-25")
			status(t, res, http.StatusForbidden)
			wantChallenge(t, res, `error="insufficient_scope"`, `scope="mcp:use connect:notion"`)
		}
		res := c.send(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
		status(t, res, http.StatusForbidden) // an initialize has no header yet
	})
	t.Run("403, a refresh, and then 401", func(t *testing.T) {
		c := alice.signIn()
		status(t, c.send(toolCall, "Mcp-Protocol-Version", "2025-11-25"), http.StatusForbidden)
		c.refreshTokens()
		g.load(g.caddyfile(people("alice") + notion.server("optional"))) // a reload forgets nothing
		res := c.send(toolCall, "Mcp-Protocol-Version", "2025-11-25")
		status(t, res, http.StatusUnauthorized)
		wantChallenge(t, res, `error="invalid_token"`)
		c.wantNoRefresh()
	})
	t.Run("401 and a refresh that fails", func(t *testing.T) {
		c := alice.signIn()
		res := c.send(toolCall, "Mcp-Protocol-Version", "2025-06-18")
		status(t, res, http.StatusUnauthorized)
		wantChallenge(t, res, `error="invalid_token"`)
		c.wantNoRefresh()
	})
	t.Run("connected when signing in", func(t *testing.T) {
		c := alice.signIn("notion")
		got := status(t, c.send(toolCall, "Mcp-Protocol-Version", "2025-11-25"), http.StatusOK)
		if !strings.Contains(got, `"account":"alice"`) {
			t.Errorf("answer %s", got)
		}
		// The token has the scope, so asking for it again would lead nowhere.
		alice.post("/oauth/account/disconnect", g.page(alice.visit(g.url+"/oauth/account")), "server", "notion")
		res := c.send(toolCall, "Mcp-Protocol-Version", "2025-11-25")
		status(t, res, http.StatusUnauthorized)
		wantChallenge(t, res, `error="invalid_token"`)
		c.wantNoRefresh()
	})
}

// askToRefresh sends the client's refresh token, and returns the answer.
func (c *client) askToRefresh(want int) string {
	c.g.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.refresh}, "client_id": {c.g.client}}
	return status(c.g.t, c.g.call("POST", "/api/oauth/per-user/token", form.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""), want)
}

func (c *client) refreshTokens() {
	c.g.t.Helper()
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(c.askToRefresh(http.StatusOK)), &tokens); err != nil {
		c.g.t.Fatal(err)
	}
	c.access, c.refresh = tokens.Access, tokens.Refresh
}

func (c *client) wantNoRefresh() {
	c.g.t.Helper()
	body := c.askToRefresh(http.StatusBadRequest)
	if !strings.Contains(body, "invalid_grant") {
		c.g.t.Errorf("refresh: %s", body)
	}
}

// A virtual key has no authorization page behind it: the link is in words.
func TestAskToConnect_VirtualKey(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice", "bob")+notion.server())
	alice, bob := g.person("alice"), g.person("bob")
	list := status(t, alice.call(`{"jsonrpc":"2.0","id":"x","method":"tools/list"}`), http.StatusForbidden)
	if !strings.Contains(list, `"id":"x"`) || !connectLink.MatchString(list) {
		t.Errorf("answer %s", list)
	}
	answer := status(t, alice.call(toolCall), http.StatusOK)
	if !strings.Contains(answer, `"isError":true`) || !strings.Contains(answer, "Notion") {
		t.Errorf("answer %s", answer)
	}
	// K01: the link is worth nothing to anybody else.
	bob.accountPage()
	if page := bob.visit(connectLink.FindString(answer)); page.Status != http.StatusForbidden {
		t.Errorf("status %d, want 403: %s", page.Status, page.Body)
	}
	alice.accountPage()
	alice.follow(answer)
	alice.wantAccount("alice")
	if got := notion.Accounts(); slices.Contains(got, "bob") {
		t.Errorf("calls carried the accounts %q, want none of bob", got)
	}
	bob.call(toolCall)
}

// CL-16: an upstream that wants another scope gets a person asked for it, but
// not forever.
func TestAskForScope_CL16(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice", "bob")+notion.server("optional"))
	alice, bob := g.person("alice"), g.person("bob")
	alice.connect("notion")
	bob.connect("notion")
	notion.Change(func() { notion.Need = "write" })
	answer := status(t, alice.call(toolCall), http.StatusOK)
	if strings.Contains(answer, oauthtest.Canary) {
		t.Errorf("answer %s", answer)
	}
	alice.follow(answer)
	alice.wantAccount("alice")
	for n := range scopeAsksPerMinute { // for whatever it wants each time
		notion.Change(func() { notion.Need = fmt.Sprint("write", n) })
		if answer = status(t, bob.call(toolCall), http.StatusOK); !connectLink.MatchString(answer) {
			t.Fatalf("no link: %s", answer)
		}
	}
	notion.Change(func() { notion.Need = "something else" })
	if answer = status(t, bob.call(toolCall), http.StatusOK); connectLink.MatchString(answer) || strings.Contains(answer, oauthtest.Canary) || !strings.Contains(answer, `"isError":true`) {
		t.Errorf("asked again: %s", answer)
	}
}

// What is too much for a link is told to the operator.
func TestTooManyScopesForALink(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server("optional"))
	alice := g.person("alice")
	alice.connect("notion")
	notion.Change(func() {
		for i := range 150 {
			notion.Need += fmt.Sprint("a.rather.long.scope.", i, " ")
		}
	})
	got := status(t, alice.call(toolCall), http.StatusOK)
	if !strings.Contains(got, "not allowed") || connectLink.MatchString(got) {
		t.Errorf("answer %s", got)
	}
	if !strings.Contains(g.log(), "more scopes than a link has room for") {
		t.Error("the log does not say so")
	}
	notion.Change(func() { notion.Need = "" })
	alice.wantAccount("alice")
}

// RFC 6750 section 3: the scope is optional in a challenge. Without it there is
// nothing to ask the person for, and nothing wrong with account and grant.
func TestLacksUnnamedScope_CL16(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server("optional"))
	alice := g.person("alice")
	c := alice.signIn("notion")
	notion.Change(func() { notion.Need, notion.Unnamed = "write", true })
	for _, revision := range []string{"", "2025-06-18", "2025-11-25"} {
		got := status(t, c.send(toolCall, "Mcp-Protocol-Version", revision), http.StatusOK)
		if !strings.Contains(got, `"isError":true`) || connectLink.MatchString(got) || strings.Contains(got, oauthtest.Canary) {
			t.Errorf("%q: answer %s", revision, got)
		}
		res := c.send(`{"jsonrpc":"2.0","id":7,"method":"tools/list"}`, "Mcp-Protocol-Version", revision)
		if got := status(t, res, http.StatusForbidden); !strings.Contains(got, "not allowed") || res.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%q: answer %v %s", revision, res.Header, got)
		}
	}
	notion.Change(func() { notion.Need = "" })
	c.refreshTokens()
	if got := status(t, c.send(toolCall), http.StatusOK); !strings.Contains(got, `"account":"alice"`) {
		t.Errorf("the next call: %s", got)
	}
}

// Some clients show 300 characters of an error and cut the rest.
func TestLinkInWordsFits(t *testing.T) {
	const (
		limit = 300
		host  = "model-context-protocol-gateway.internal-tools.staging.example.com" // 64 characters, as long as real ones get
		title = "Google Calendar (staging)"
	)
	notion := newService(t)
	g := newGateway(t, people("a-person-with-a-name-that-is-really-rather-long")+strings.Replace(notion.server(), "title Notion", `title "`+title+`"`, 1))
	alice := g.person("a-person-with-a-name-that-is-really-rather-long")
	longer := len("https://"+host) - len(g.url)
	for _, body := range []string{toolCall, `{"jsonrpc":"2.0","id":"00000000-0000-0000-0000-000000000000","method":"tools/list"}`, opensURLs} {
		res := alice.call(body)
		answer, _ := io.ReadAll(res.Body)
		link := connectLink.FindIndex(answer)
		if link == nil {
			t.Fatalf("no link in %s", answer)
		}
		if end := link[1] + longer; end > limit {
			t.Errorf("the link ends after %d characters, want at most %d: %s", end, limit, answer)
		}
		text := inWords.FindSubmatch(answer)
		if text == nil || len(text[1])+longer > limit {
			t.Errorf("longer than %d with a long host: %s", limit, answer)
		}
	}
}

var inWords = regexp.MustCompile(`"(?:text|message)":"([^"]*/oauth/connect/[^"]*)"`)
