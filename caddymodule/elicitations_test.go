package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

const opensURLs = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{"url":{}}}}}`

// While its person has a link to connect the server, whatever else a client
// sends can wait, and ends no grant.
func TestOpenLinkKeepsTheGrant(t *testing.T) {
	modern := []string{"Mcp-Protocol-Version", "2026-07-28"}
	modernCall := strings.Replace(toolCall, `"name":"whoami"`, `"name":"whoami",`+modernMeta, 1)
	for how, ask := range map[string]func(c *client, session []string) (answer string){
		"input required": func(c *client, _ []string) string {
			return status(t, c.send(modernCall, append(modern, "Mcp-Method", "tools/call", "Mcp-Name", "whoami")...), http.StatusOK)
		},
		"elicitation by URL": func(c *client, session []string) string {
			return status(t, c.send(toolCall, session...), http.StatusOK)
		},
	} {
		t.Run(how, func(t *testing.T) {
			notion := newService(t)
			g := newGateway(t, people("alice")+notion.server("optional"))
			alice := g.person("alice")
			c := alice.signIn("notion")
			session := []string{"Mcp-Session-Id", c.send(opensURLs).Header.Get("Mcp-Session-Id"), "Mcp-Protocol-Version", "2025-11-25"}
			alice.post("/oauth/account/disconnect", g.page(alice.visit(g.url+"/oauth/account")), "server", "notion")
			answer := ask(c, session)
			if !connectLink.MatchString(answer) {
				t.Fatalf("answer %s", answer)
			}
			g.load(g.caddyfile(people("alice") + notion.server("optional"))) // a reload forgets nothing

			for _, revision := range []string{"", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"} {
				for _, body := range []string{
					`{"jsonrpc":"2.0","id":8,"method":"tools/list"}`, `{"jsonrpc":"2.0","id":8,"method":"tools/list","params":{` + modernMeta + `}}`,
					`{"jsonrpc":"2.0","id":8,"method":"prompts/list"}`, `{"jsonrpc":"2.0","id":8,"method":"resources/read","params":{"uri":"a:b"}}`,
					`{"jsonrpc":"2.0","id":8,"method":"ping"}`, `{"jsonrpc":"2.0","id":8,"method":"server/discover"}`, opensURLs,
					strings.Replace(opensURLs, `"url":{}`, "", 1), strings.Replace(opensURLs, "2025-11-25", "2025-06-18", 1), toolCall,
					`{"jsonrpc":"2.0","method":"notifications/initialized"}`, `{"jsonrpc":"2.0","id":1,"result":{}}`, `[]`, `not JSON`,
				} {
					res := c.send(body, "Mcp-Protocol-Version", revision)
					got, _ := io.ReadAll(res.Body)
					refused := res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusBadRequest && strings.Contains(string(got), "-32020")
					if inWords := strings.Contains(string(got), `"isError":true`); !refused && !inWords || res.Header.Get("WWW-Authenticate") != "" {
						t.Errorf("%q %s: %d %v %s", revision, body, res.StatusCode, res.Header, got)
					}
				}
				res := g.call("GET", "/mcp", "", "Authorization", "Bearer "+c.access, "Accept", "text/event-stream", "Mcp-Protocol-Version", revision)
				status(t, res, http.StatusMethodNotAllowed)
			}
			c.refreshTokens()
			want := map[string]string{"input required": "confirm there that you are done. It then goes on", "elicitation by URL": "It was told, and goes on by itself"}[how]
			if page := c.open(connectLink.FindString(answer)); !strings.Contains(page, "Notion is connected") || !strings.Contains(page, want) {
				t.Errorf("no %q on the last page:\n%s", want, page)
			}
			if got := status(t, c.send(toolCall), http.StatusOK); !strings.Contains(got, `"account":"alice"`) {
				t.Errorf("connected: %s", got)
			}
			c.refreshTokens()
		})
	}
}

// serveStreams has the server open MCP sessions, and event streams in them that
// say one thing and then nothing. It returns how many of those are open.
func (notion *service) serveStreams(t *testing.T) (open *atomic.Int32) {
	var sessions atomic.Int32
	open = new(atomic.Int32)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	notion.Answer = func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Mcp-Session-Id", fmt.Sprint("session-", sessions.Add(1)))
			oauthtest.Document(oauthtest.Object{"jsonrpc": "2.0", "id": 1, "result": oauthtest.Object{}})(w, r)
			return
		}
		open.Add(1)
		defer open.Add(-1)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "id: 41\ndata: open\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}
	return open
}

// mcpStream is the event stream of an MCP session whose client opens URLs.
type mcpStream struct {
	person *person
	header []string
	body   io.Reader
}

func (p *person) openStream(initialize string) *mcpStream {
	p.g.t.Helper()
	id := p.call(initialize).Header.Get("Mcp-Session-Id")
	s := &mcpStream{person: p, header: []string{"Mcp-Session-Id", id, "Mcp-Protocol-Version", "2025-11-25"}}
	s.body = p.g.call("GET", "/mcp", "", append(s.header, "Authorization", "Bearer "+keyOf(p.name), "Accept", "text/event-stream")...).Body
	if got, err := readEvent(s.body); got != "id: 41\ndata: open" {
		p.g.t.Fatalf("got %v, error %v; want %v", got, err, "id: 41\ndata: open")
	}
	return s
}

// ask makes a call that is answered with an elicitation by URL.
func (s *mcpStream) ask() (elicitation, answer string) {
	t := s.person.g.t
	t.Helper()
	answer = status(t, s.person.call(toolCall, s.header...), http.StatusOK)
	var e struct {
		Error struct {
			Data struct {
				Elicitations []struct{ ElicitationID string }
			}
		}
	}
	if err := json.Unmarshal([]byte(answer), &e); err != nil || len(e.Error.Data.Elicitations) != 1 {
		t.Fatalf("answer %s, %v", answer, err)
	}
	return e.Error.Data.Elicitations[0].ElicitationID, answer
}

// told returns which elicitation the next event says is complete.
func (s *mcpStream) told() string {
	t := s.person.g.t
	t.Helper()
	got, err := readEvent(s.body)
	var m struct {
		Method string
		Params struct{ ElicitationID string }
	}
	data, ok := strings.CutPrefix(got, "event: message\ndata: ")
	if !ok || json.Unmarshal([]byte(data), &m) != nil || m.Method != "notifications/elicitation/complete" {
		t.Fatalf("event %q, %v", got, err)
	}
	return m.Params.ElicitationID
}

// A client of 2025-11-25 that waits is told on its own stream that its person
// connected the server with that link, and nobody else is.
func TestElicitationComplete(t *testing.T) {
	notion := newService(t)
	notion.serveStreams(t)
	g := newGateway(t, people("alice", "bob")+notion.server("optional"))
	alice, bob := g.person("alice"), g.person("bob")
	alice.connect("notion")
	bob.connect("notion")
	waits, other, foreign := alice.openStream(opensURLs), alice.openStream(opensURLs), bob.openStream(opensURLs)
	notion.Change(func() { notion.Need = "write" })
	first, _ := waits.ask()
	second, answer := waits.ask()
	other.ask()
	foreign.ask()
	if first == second {
		t.Error("two links have one name")
	}
	g.load(g.caddyfile(people("alice", "bob") + notion.server("optional"))) // a reload forgets nothing
	alice.follow(answer)
	told := map[string]bool{waits.told(): true, waits.told(): true}
	if !told[first] || !told[second] {
		t.Errorf("told of %v, want %s and %s", told, first, second)
	}
	stateOf(t, g).Streams.Close(gateway.StopGrace)
	for name, s := range map[string]*mcpStream{"the same": waits, "another session": other, "somebody else": foreign} {
		if rest, _ := io.ReadAll(s.body); len(rest) != 0 {
			t.Errorf("%s was told %q", name, rest)
		}
	}
	if n := size(stateOf(t, g).Elicitations, "streams"); n != 0 {
		t.Errorf("%d sessions have streams after their end", n)
	}
}

// Without an account nothing of the upstream's reaches a client any more; one
// that can be asked by URL keeps its stream, to be told that there is one again.
func TestStreamWaitsForWord(t *testing.T) {
	notion := newService(t)
	open := notion.serveStreams(t)
	g := newGateway(t, people("alice")+notion.server("optional"))
	alice := g.person("alice")
	recheck := func() { stateOf(t, g).recheck(t.Context()) }
	lose := func(initialize string) *mcpStream {
		alice.connect("notion")
		s := alice.openStream(initialize)
		recheck()
		if n := open.Load(); n != 1 {
			t.Fatalf("%d streams of the upstream, want 1", n)
		}
		alice.disconnect("notion")
		recheck()
		recheck() // it stays
		oauthtest.Eventually(t, "the upstream's side is open", func() bool { return open.Load() == 0 })
		return s
	}
	end := func(s *mcpStream) {
		t.Helper()
		if got, err := readEvent(s.body); got != "" || err != io.EOF {
			t.Errorf("event %q, %v, want the end", got, err)
		}
	}
	s := lose(opensURLs)
	id, answer := s.ask()
	alice.follow(answer)
	if got := s.told(); got != id {
		t.Errorf("told of %s, want %s", got, id)
	}
	recheck()
	end(s) // the session ended with its account
	alice.disconnect("notion")

	end(lose(strings.Replace(opensURLs, `"url":{}`, "", 1)))
	s = lose(opensURLs)
	g.load(g.caddyfile(people("bob") + notion.server("optional"))) // alice's key is withdrawn
	recheck()
	end(s)
	g.load(g.caddyfile(people("alice") + notion.server("optional")))
	s = lose(opensURLs)
	stateOf(t, g).Streams.Close(gateway.StopGrace)
	end(s)
}
