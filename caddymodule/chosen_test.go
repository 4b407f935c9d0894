package caddymodule

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// threeTools are one that reads, one that changes things, and one that destroys them.
var threeTools = []offeredTool{
	{Name: "read_page", Annotations: map[string]bool{"readOnlyHint": true}},
	{Name: "create_page", Annotations: map[string]bool{"destructiveHint": false}},
	{Name: "delete_page"},
}

// onlyGrant returns the one grant that there is.
func (g *instance) onlyGrant() storage.Grant {
	g.t.Helper()
	all, _, err := g.state().store.Grants(g.t.Context(), "", 2, time.Now())
	if err != nil || len(all) != 1 {
		g.t.Fatalf("grants: %+v, %v", all, err)
	}
	return all[0]
}

// choose changes what the client of the only grant may use.
func (g *instance) choose(chosen ...storage.Choice) {
	g.t.Helper()
	of := g.onlyGrant()
	changed, err := g.state().store.ChangeGrant(g.t.Context(), storage.GrantChange{
		ID: of.ID, Issuer: of.Issuer, Subject: of.Identity.Subject, Chosen: chosen, Now: time.Now(),
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.state().tokens.Forget(changed)
}

// What a person chose decides the list and the call, for all tokens of the grant, at
// once, also for a server without access rules.
func TestChosenToolsDecideListAndCall(t *testing.T) {
	for name, rules := range map[string]string{"without rules": "", "with rules": " {\ntools {\ndeny create_*\nallow *\n}\n}"} {
		t.Run(name, func(t *testing.T) {
			upstream := offer(t, threeTools)
			g := newGateway(t, people("alice")+"server notes /notes "+upstream.URL+"/mcp"+rules)
			resource := g.url + "/notes"
			token := accessToken(t, g.signIn("client", resource))
			headers := []string{"Authorization", "Bearer " + token, "Content-Type", "application/json"}
			send := func(body string) (int, string) {
				res := g.call("POST", "/notes", body, headers...)
				got, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				return res.StatusCode, string(got)
			}
			for _, test := range []struct {
				chosen []storage.Choice
				want   string // without rules
			}{
				{nil, "create_page delete_page read_page"},
				{[]storage.Choice{{Resource: resource, Others: storage.ReadOnlyOthers}}, "read_page"},
				{[]storage.Choice{{Resource: resource, Tools: []string{"create_page"}, Others: storage.NoOthers}}, "create_page"},
				{[]storage.Choice{{Resource: resource, Without: []string{"delete_page"}, Others: storage.AllOthers}}, "create_page read_page"},
				{[]storage.Choice{{Resource: resource, Others: storage.NoOthers}}, ""},
				{nil, "create_page delete_page read_page"},
			} {
				g.choose(test.chosen...)
				want := strings.Fields(test.want)
				if rules != "" {
					want = strings.Fields(strings.ReplaceAll(test.want, "create_page", ""))
				}
				listed := want
				if test.chosen != nil || rules != "" { // else it is no filtered list
					listed = listedTools(t, send)
				}
				upstream.take()
				for _, tool := range threeTools {
					send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool.Name + `"}}`)
				}
				called := upstream.take()
				if !sameNames(listed, want) || !sameNames(called, want) {
					t.Errorf("%+v: listed %v, could be called %v, want %v", test.chosen, listed, called, want)
				}
			}
		})
	}
}

func sameNames(a, b []string) bool {
	count := map[string]int{}
	for _, name := range a {
		count[name]++
	}
	for _, name := range b {
		count[name]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// A call of what the person did not choose is refused as what is not there, and the log
// says why.
func TestNotChosenIsRefused(t *testing.T) {
	upstream := offer(t, threeTools)
	g := newGateway(t, people("alice")+"server notes /notes "+upstream.URL+"/mcp\nserver told /told "+upstream.URL+"/mcp {\nrefusals explain\n}")
	for path, want := range map[string]string{"/notes": `"message":"Unknown tool: delete_page","data":{"correlation_id":"`, "/told": `"reason":"the person who signed in does not let this application use it"`} {
		resource := g.url + path
		token := accessToken(t, g.signIn("client", resource))
		g.choose(storage.Choice{Resource: resource, Others: storage.ReadOnlyOthers})
		res := g.call("POST", path, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_page"}}`, "Authorization", "Bearer "+token)
		if got := status(t, res, http.StatusOK); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
		if _, err := g.state().store.RevokeGrant(t.Context(), g.onlyGrant().ID, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if want := `"reason":"not_chosen"`; !strings.Contains(g.log(), want) {
		t.Errorf("the log lacks %s", want)
	}
}

// An answer that is being sent ends when the person does not let the client go on.
func TestStreamEndsByChoice(t *testing.T) {
	upstream, _ := eventStream(t)
	g := newGateway(t, people("alice")+"server a /a "+upstream.URL+"/mcp")
	resource := g.url + "/a"
	token := accessToken(t, g.signIn("client", resource))
	open := func(tool string) io.Reader {
		res := g.call("POST", "/a", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`"}}`, "Authorization", "Bearer "+token)
		if event, err := readEvent(res.Body); err != nil || event != "open" {
			t.Fatalf("%q, %v", event, err)
		}
		return res.Body
	}
	only := func(tool string) storage.Choice {
		return storage.Choice{Resource: resource, Tools: []string{tool}, Others: storage.NoOthers}
	}
	unlimited := open("long")
	g.choose(only("long"))
	g.state().recheck(t.Context())
	if rest, err := io.ReadAll(unlimited); err != nil || len(rest) != 0 {
		t.Errorf("a stream of which nobody knows what it uses went on with %q, %v", rest, err)
	}
	stream := open("long")
	g.choose(storage.Choice{Resource: resource, Tools: []string{"long", "other"}, Others: storage.NoOthers})
	g.state().recheck(t.Context())
	if n := g.state().Streams.Len(); n != 1 {
		t.Errorf("%d streams are open, want 1", n)
	}
	g.choose(only("other"))
	g.state().recheck(t.Context())
	if rest, err := io.ReadAll(stream); err != nil || len(rest) != 0 {
		t.Errorf("the stream went on with %q, %v", rest, err)
	}
}

// box returns the value of the box of a tool on a page.
func box(t *testing.T, page, tool string) string {
	t.Helper()
	m := regexp.MustCompile(`name="tool" value="([^"]+)"[^\n]*<code>` + regexp.QuoteMeta(tool) + `</code>`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no box for %s in %s", tool, page)
	}
	return m[1]
}

// A person narrows an application to one tool when they let it in, widens that on
// their account page, and has it end.
func TestPersonChoosesTools(t *testing.T) {
	upstream := offer(t, threeTools)
	g := newGateway(t, people("alice")+"server notes /mcp "+upstream.URL+"/mcp {\ntools {\nallow *\n}\n}")
	listedTools(t, func(body string) (int, string) { // somebody does, so that they are known
		res := g.call("POST", "/mcp", body, "Authorization", "Bearer "+keyOf("alice"))
		return res.StatusCode, status(t, res, http.StatusOK)
	})
	a := g.app("editor", "")
	p := a.user("alice")
	a.registers(http.StatusCreated, nil)
	page := a.signsIn(p)
	done := p.browser.Submit(t, page, "/api/oauth/per-user/consent/submit", url.Values{
		"decision": {"approve"}, "tools:notes": {"ticked"}, "tool": {box(t, page.Body, "create_page")},
	})
	if done.Leaving == nil {
		t.Fatalf("status %d: %s", done.Status, done.Text())
	}
	a.redeems(http.StatusOK, done.Leaving.Query().Get("code"))
	can := func() (tools []string) {
		t.Helper()
		upstream.take()
		for _, tool := range threeTools {
			status(t, a.send("POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool.Name+`"}}`, "Authorization", "Bearer "+a.access), http.StatusOK)
		}
		return upstream.take()
	}
	wants := func(tools ...string) {
		t.Helper()
		if got := can(); !sameNames(got, tools) {
			t.Errorf("it can use %q, want %q", got, tools)
		}
	}
	wants("create_page")
	a.refreshes(http.StatusOK, a.refreh)
	wants("create_page")
	account := p.visit(g.url + "/oauth/account")
	if !strings.Contains(account.Body, "notes: 1 that you chose") {
		t.Errorf("the account page does not tell: %s", account.Text())
	}
	account = p.browser.Submit(t, account, "/oauth/account/choose", url.Values{
		"tool": {box(t, account.Body, "create_page"), box(t, account.Body, "read_page")}, "others:notes": {"read_only"},
	})
	wants("create_page", "read_page")
	if !strings.Contains(account.Text(), "may use is changed") {
		t.Errorf("the page does not tell: %s", account.Text())
	}
	account = p.browser.Submit(t, account, "/oauth/account/choose", url.Values{"tools:notes": {"all"}, "lasts": {"1h0m0s"}})
	wants("create_page", "read_page", "delete_page")
	if of := g.onlyGrant(); time.Until(of.AbsoluteExpiresAt) > time.Hour || of.Chosen != nil {
		t.Errorf("the grant is %+v", of)
	}
	if again := a.opens(p); !strings.Contains(again.Body, `name="tools:notes" value="all" checked`) || !strings.Contains(account.Body, `value="all" checked`) {
		t.Errorf("what is proposed is not what was chosen last: %s", again.Body)
	}
	for _, want := range []string{`"event":"grant.changed"`, `"reason":"not_chosen"`} {
		if !strings.Contains(g.log(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

// An operator is told which scopes a call needs, and through whom a person does not let
// a tool be used.
func TestMayTellsOfScopesAndChoices(t *testing.T) {
	upstream := offer(t, threeTools)
	lines := people("alice") + "server notes /mcp " + upstream.URL + "/mcp {\ntools {\nscope notes:write create_*\n}\n}"
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	a := g.app("editor", "")
	a.completes(a.user("alice"))
	g.choose(storage.Choice{Resource: g.url + "/mcp", Tools: []string{"read_page"}, Others: storage.NoOthers})
	of := g.onlyGrant()
	for query, want := range map[string]string{
		"name=create_page":                `"name":"create_page","allowed":true,"why":"no rule denies it","scopes":["notes:write"],"not_chosen":[{"grant":"` + of.ID + `","client":"` + a.id + `","client_name":"editor"}]}`,
		"name=read_page":                  `"name":"read_page","allowed":true,"why":"no rule denies it"}`,
		"name=create_page&client=" + a.id: `"allowed":false,"why":"they do not let the application use it"`,
		"name=create_page&client=6f1d2c3b-4a5e-4f60-8b7c-9d0e1f2a3b4c": `"allowed":true`,
		"name=file:///x&kind=resource":                                 `"allowed":true,"why":"there are no rules for it"}`,
	} {
		got := admin(t, addr, "GET", "/mcp_oauth/access?subject=virtual_key:alice&server=notes&"+query, http.StatusOK)
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s\nwant %s", query, got, want)
		}
	}
}
