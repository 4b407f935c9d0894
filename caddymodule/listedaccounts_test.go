package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// accountTools is a server that lists other tools to each account, and what reached it.
type accountTools struct {
	*service
	tools map[string][]offeredTool // by account

	mu     sync.Mutex
	called []accountCall
}

// accountCall is a call of a tool that the account has. Who is what its caller says of
// themselves.
type accountCall struct{ account, tool, who string }

// newAccountTools returns a server that lists each account some of the tools.
func newAccountTools(t *testing.T, rng *rand.Rand, accounts []string) *accountTools {
	s := &accountTools{service: newService(t), tools: map[string][]offeredTool{}}
	all := randomTools(rng)
	for _, account := range accounts {
		for _, tool := range all {
			if rng.IntN(3) > 0 {
				s.tools[account] = append(s.tools[account], tool)
			}
		}
	}
	s.Answer = s.answer
	return s
}

func (s *accountTools) answer(w http.ResponseWriter, r *http.Request) {
	account, _ := s.provider.Accepts(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	answer := any(map[string]any{})
	var batch []json.RawMessage
	if json.Unmarshal(body, &batch) != nil {
		batch = []json.RawMessage{body}
	}
	var m struct {
		ID     json.RawMessage
		Method string
		Params struct {
			Name      string
			Arguments struct{ Who string }
		}
	}
	for _, one := range batch {
		_ = json.Unmarshal(one, &m) // as far as it can be read
		switch foldsCase(m.Method) {
		case "tools/list":
			answer = map[string]any{"cacheScope": "public", "tools": s.tools[account]}
		case "tools/call":
			for _, tool := range s.tools[account] {
				if foldsCase(tool.Name) == foldsCase(m.Params.Name) {
					s.mu.Lock()
					s.called = append(s.called, accountCall{account, tool.Name, m.Params.Arguments.Who})
					s.mu.Unlock()
				}
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	text, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": m.ID, "result": answer})
	_, _ = w.Write(text)
}

func (s *accountTools) take() []accountCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	called := s.called
	s.called = nil
	return called
}

// For random rules, people with several accounts each, tools by account and spellings:
// what is listed at the path of an account is what can be called there, and nothing
// else; and each call carries the token of that account of that person, also while all
// of them call at the same time.
func TestListedIsWhatCanBeCalledByAccount(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 2)) // a failure names its rules
	owners := map[string][2]string{}    // person and path, by account
	var accounts []string
	for _, name := range []string{"alice", "bob"} {
		for _, path := range []string{"/mcp", "/mcp/work", "/mcp/home"} {
			account := name + strings.ReplaceAll(strings.TrimPrefix(path, "/mcp"), "/", "-")
			owners[account], accounts = [2]string{name, path}, append(accounts, account)
		}
	}
	server := newAccountTools(t, rng, accounts)
	lines := func(rules string) string {
		return people("alice", "bob") + strings.Replace(server.server("accounts several"), "title Notion\n", "title Notion\ntools {\n"+rules+"}\n", 1)
	}
	g := newGateway(t, lines("allow *\n"))
	for _, account := range accounts {
		p := g.person(owners[account][0])
		p.account = account
		if _, name, several := strings.Cut(account, "-"); several {
			p.add(name, account)
		} else {
			p.connect("notion")
		}
	}
	allowed, calls := 0, 0
	for range 4 {
		rules := randomRules(rng)
		g.load(g.caddyfile(lines(rules)))
		listed := map[string][]string{}
		send := func(account string) func(string) (int, string) {
			return func(body string) (int, string) {
				res := g.call("POST", owners[account][1], body, "Authorization", "Bearer "+keyOf(owners[account][0]), "Content-Type", "application/json")
				defer res.Body.Close()
				answer, err := io.ReadAll(res.Body)
				if err != nil {
					t.Error(err)
				}
				return res.StatusCode, string(answer)
			}
		}
		for _, account := range accounts {
			listed[account] = listedTools(t, send(account))
			for _, name := range listed[account] {
				if !slices.ContainsFunc(server.tools[account], func(tool offeredTool) bool { return tool.Name == name }) {
					t.Errorf("%s is listed %s, which the server lists others alone", account, name)
				}
			}
			allowed += len(listed[account])
		}
		server.take()
		var all sync.WaitGroup
		for _, account := range accounts {
			all.Go(func() {
				for _, tool := range []string{"read_file", "delete_file", "create_issue", "list_users", "Mixed.Case", "reset"} {
					send(account)(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{"who":%q}}}`, tool, account))
				}
			})
		}
		all.Wait()
		called := map[string][]string{}
		for _, c := range server.take() {
			called[c.who] = append(called[c.who], c.tool)
			if c.account != c.who {
				t.Errorf("a call of %s carried the token of %s", c.who, c.account)
			}
		}
		for _, account := range accounts {
			if !sameNames(listed[account], called[account]) {
				t.Errorf("%s at\n%sis listed %q, and called %q; the server has %+v", account, rules, listed[account], called[account], server.tools[account])
			}
			for _, tool := range server.tools[account] {
				for _, body := range spellings(tool.Name) {
					send(account)(body)
					calls++
					for _, c := range server.take() {
						if c.account != account || !slices.Contains(listed[account], c.tool) {
							t.Errorf("%s at\n%scalled %s as %s, which is not listed, by %.200s", account, rules, c.tool, c.account, body)
						}
					}
				}
			}
		}
	}
	if n := 4 * len(accounts) * 6; allowed < n/8 || allowed > n*9/10 {
		t.Errorf("%d of %d tools are listed: that says nothing", allowed, n)
	}
	t.Logf("%d of %d tools listed, %d calls in other spellings", allowed, 4*len(accounts)*6, calls)
}
