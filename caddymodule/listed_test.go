package caddymodule

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// offered is a server with tools, which is as lenient about who calls what as any: of
// names that repeat the last counts, and case, width and blanks mean nothing.
type offered struct {
	*httptest.Server
	tools []offeredTool

	mu     sync.Mutex
	called []string
	lists  int
	form   int // of lists: JSON, an event stream, pages
}

type offeredTool struct {
	Name        string          `json:"name"`
	Annotations map[string]bool `json:"annotations,omitempty"`
	InputSchema map[string]any  `json:"inputSchema"`
}

func offer(t *testing.T, tools []offeredTool) *offered {
	t.Helper()
	s := &offered{tools: tools}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *offered) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var batch []json.RawMessage
	if json.Unmarshal(body, &batch) != nil {
		batch = []json.RawMessage{body}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := `{"jsonrpc":"2.0","id":1,"result":{}}`
	for _, one := range batch {
		var m struct {
			Method string
			Params struct{ Name, Cursor string }
		}
		_ = json.Unmarshal(one, &m)
		switch foldsCase(m.Method) {
		case "tools/list":
			s.lists++
			answer = s.list(m.Params.Cursor)
		case "tools/call":
			for _, tool := range s.tools {
				if foldsCase(tool.Name) == foldsCase(m.Params.Name) {
					s.called = append(s.called, tool.Name)
				}
			}
		}
	}
	if s.form%2 == 1 {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "id: 1\nevent: message\ndata: %s\n\n", answer)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, answer)
}

func foldsCase(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

func (s *offered) list(cursor string) string {
	from, to, next := 0, len(s.tools), ""
	if s.form >= 2 {
		_, _ = fmt.Sscan(cursor, &from)
		if to = min(from+2, to); to < len(s.tools) {
			next = fmt.Sprintf(`,"nextCursor":"%d"`, to)
		}
	}
	list, _ := json.Marshal(s.tools[from:to])
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"public","tools":%s%s}}`, list, next)
}

func (s *offered) take() (called []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	called, s.called = s.called, nil
	return called
}

// randomRules returns access rules as somebody could write them.
func randomRules(rng *rand.Rand) string {
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	var b strings.Builder
	for range rng.IntN(4) {
		fmt.Fprintf(&b, "\t\t%s %s %s %s\n", pick("allow", "allow", "deny"),
			pick("*", "read_*", "*_file", "delete_file", "Delete_File", "*e*", "list_users", "create_*"),
			pick("", "", "read_only", "destructive", "changing", "not_destructive", "idempotent", "closed_world"),
			pick("", "", "key:alice", "key:bob", "key:alice key:bob"))
	}
	return b.String() + "\t\t" + pick("allow *", "allow * read_only", "deny *", "allow *e* changing", "allow * key:alice") + "\n"
}

func randomTools(rng *rand.Rand) (tools []offeredTool) {
	for _, name := range []string{"read_file", "delete_file", "create_issue", "list_users", "Mixed.Case", "reset"} {
		tool := offeredTool{Name: name, InputSchema: map[string]any{"type": "object"}}
		for _, hint := range []string{"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"} {
			if rng.IntN(2) == 0 {
				if tool.Annotations == nil {
					tool.Annotations = map[string]bool{}
				}
				tool.Annotations[hint] = rng.IntN(2) == 0
			}
		}
		tools = append(tools, tool)
	}
	rng.Shuffle(len(tools), func(i, j int) { tools[i], tools[j] = tools[j], tools[i] })
	return tools
}

// spellings are bodies of requests that some server takes for a call of a tool.
func spellings(name string) []string {
	call := func(method, params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
	}
	quoted := func(name string) string { return `{"name":"` + name + `","arguments":{}}` }
	escaped := fmt.Sprintf(`\u%04x%s`, name[0], name[1:])
	return []string{
		call("tools/call", quoted(escaped)),
		call(`tools\/call`, quoted(name)),
		call("tools/call", quoted(strings.ToUpper(name))),
		call("tools/call", quoted(strings.ToLower(name))),
		call("tools/call", quoted(name+" ")),
		call("tools/call", quoted(`\t`+name)),
		call("tools/call", `{"name":"read_file","name":"`+name+`"}`),
		call("tools/call", `{"name":"`+name+`","name":"read_file"}`),
		call("tools/call", `{"name":"read_file","Name":"`+name+`"}`),
		call("tools/call", `{"NAME":"`+name+`"}`),
		call("tools/call", quoted("read_file")+`,"Params":`+quoted(name)),
		call("Tools/Call", quoted(name)),
		call(" tools/call", quoted(name)),
		"[" + call("tools/call", quoted("read_file")) + "," + call("tools/call", quoted(name)) + "]",
		strings.Replace(call("tools/call", quoted(name)), `"id":1,`, "", 1),
		call("tools/call", quoted(name)) + "\n" + call("tools/call", quoted("read_file")),
		call("tools/call", `{"arguments":{"x":"`+strings.Repeat("x", 70<<10)+`"},"name":"`+name+`"}`),
	}
}

// For random rules, people, tools and spellings, what is listed for somebody is what
// they can call, and nothing else reaches the server.
func TestListedIsWhatCanBeCalled(t *testing.T) {
	const servers = 12
	rng := rand.New(rand.NewPCG(12, 1)) // a failure names its rules
	var lines strings.Builder
	lines.WriteString(people("alice", "bob"))
	var offers []*offered
	var rules []string
	for i := range servers {
		s, text := offer(t, randomTools(rng)), randomRules(rng)
		offers, rules = append(offers, s), append(rules, text)
		fmt.Fprintf(&lines, "server s%d /s%d %s {\n\ttools {\n%s\t}\n}\n", i, i, s.URL, text)
	}
	g := newGateway(t, lines.String())
	allowed, calls := 0, 0
	for i, s := range offers {
		path := fmt.Sprintf("/s%d", i)
		for form, name := range []string{"alice", "bob"} {
			s.form = (i + form) % 4
			send := func(body string) (int, string) {
				res := g.call("POST", path, body, "Authorization", "Bearer "+keyOf(name))
				defer res.Body.Close()
				answer, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				return res.StatusCode, string(answer)
			}
			exact := func(tool string) string {
				return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `"}}`
			}
			// The first call comes before any list: then the gateway asks.
			send(exact(s.tools[0].Name))
			first := s.take()
			listed := listedTools(t, send)
			if got := slices.Contains(listed, s.tools[0].Name); got != (len(first) == 1) {
				t.Errorf("%s at\n%s%s is listed: %v, and was called before as %v; %+v", name, rules[i], s.tools[0].Name, got, first, s.tools)
			}
			for _, tool := range s.tools {
				status, answer := send(exact(tool.Name))
				called := s.take()
				want := slices.Contains(listed, tool.Name)
				if want != (len(called) == 1 && called[0] == tool.Name) {
					t.Errorf("%s at\n%s%+v is listed: %v, and was called: %v; answered with %d %s", name, rules[i], tool, want, called, status, answer)
				}
				if !want && !strings.Contains(answer, `"error"`) && status != http.StatusForbidden {
					t.Errorf("%s at\n%s%+v was answered with %d %s", name, rules[i], tool, status, answer)
				}
				for _, body := range spellings(tool.Name) {
					send(body)
					calls++
					for _, called := range s.take() {
						if !slices.Contains(listed, called) {
							t.Errorf("%s at\n%scalled %s, which is not listed, by %.200s", name, rules[i], called, body)
						}
					}
				}
				allowed += len(called)
			}
		}
	}
	if all := servers * 2 * 6; allowed < all/5 || allowed > all*9/10 {
		t.Errorf("%d of %d tools may be called: that says nothing", allowed, all)
	}
	t.Logf("%d of %d tools listed, %d calls in other spellings", allowed, servers*2*6, calls)
}

// listedTools returns the names in all pages of a list. Somebody who may use nothing of a server gets
// none.
func listedTools(t *testing.T, send func(string) (int, string)) (names []string) {
	t.Helper()
	cursor := ""
	for range 10 {
		status, answer := send(`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + cursor + `}}`)
		if status != http.StatusOK {
			return nil
		}
		_, data, events := strings.Cut(answer, "data: ")
		data, _, _ = strings.Cut(data, "\n")
		var list struct {
			Result struct {
				Tools      []offeredTool
				NextCursor string
				CacheScope string
			}
		}
		if err := json.Unmarshal([]byte(cmp.Or(map[bool]string{true: data}[events], answer)), &list); err != nil {
			t.Fatalf("%v in %s", err, answer)
		}
		if list.Result.CacheScope != "private" {
			t.Errorf("the scope of a filtered list is %q", list.Result.CacheScope)
		}
		for _, tool := range list.Result.Tools {
			names = append(names, tool.Name)
		}
		if list.Result.NextCursor == "" {
			return names
		}
		cursor = `"cursor":"` + list.Result.NextCursor + `"`
	}
	t.Fatal("a list without an end")
	return nil
}

// What a server said it still says after a restart: it is not asked again, and what it
// says anew is known there too.
func TestOfferedIsKeptAcrossRestarts(t *testing.T) {
	s := offer(t, []offeredTool{{Name: "read", Annotations: map[string]bool{"readOnlyHint": true}}})
	lines := alice + "server a /a " + s.URL + " {\ntools {\nallow * read_only\n}\n}\n"
	g := newGateway(t, lines)
	call := func() {
		t.Helper()
		status(t, g.call("POST", "/a", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}`), http.StatusOK)
		if called := s.take(); len(called) != 1 {
			t.Errorf("called %v", called)
		}
	}
	call()
	offers := activeApp().state.catalog.Of(g.url, "a")
	oauthtest.Eventually(t, "the catalog is not stored", func() bool { return len(offers.All(0)) == 1 && stored(t, g, "catalog a") })
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.load(g.caddyfile(lines))
	offers = activeApp().state.catalog.Of(g.url, "a")
	oauthtest.Eventually(t, "the catalog is not read again", func() bool { return len(offers.All(0)) == 1 })
	call()
	if s.lists != 1 {
		t.Errorf("the server was asked for its list %d times", s.lists)
	}
}

// stored reports whether the store has a site value.
func stored(t *testing.T, g *instance, name string) bool {
	t.Helper()
	_, err := activeApp().state.store.SiteValue(t.Context(), g.url, name, time.Now())
	return err == nil
}
