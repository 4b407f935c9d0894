package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// P-17: a batch is for the upstream to judge, byte for byte.
func TestBatchPasses_P17(t *testing.T) {
	const batch = `[ {"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","method":"notifications/x"} ,{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","name":"b"}}]`
	up := oauthtest.Serve(t, nil)
	notion := newService(t)
	g := newGateway(t, people("alice", "bob")+notion.server("optional")+"server plain /plain "+up.URL)
	alice := g.person("alice")

	status(t, g.call("POST", "/plain", batch, "Authorization", "Bearer "+keyOf("alice"), "Content-Type", "application/json"), http.StatusOK)
	if got := up.Last(t).Body; up.Hits() != 1 || got != batch {
		t.Errorf("the plain server got %d requests, at last %q; want one, %q", up.Hits(), got, batch)
	}

	notion.ForgetAccounts()
	refused := status(t, alice.call(batch), http.StatusForbidden)
	if !connectLink.MatchString(refused) || !strings.Contains(refused, `"id":null`) || len(notion.Accounts()) != 0 {
		t.Errorf("without a connection: %s, and the server saw %d requests", refused, len(notion.Accounts()))
	}
	alice.connect("notion")
	for range 2 {
		var got struct {
			Result struct{ Body, Account string }
		}
		if err := json.Unmarshal([]byte(status(t, alice.call(batch), http.StatusOK)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Result.Body != batch || got.Result.Account != "alice" {
			t.Errorf("the connected server got %q", got.Result.Body)
		}
		notion.provider.ExpireAll() // so that it is sent twice, the second time
	}
}

// P-7, P-8: an event stream passes through a connected server as it comes, with
// its comments and from where the client left off, and the upstream notices at
// once when the client is gone.
func TestConnectedStream_P7_P8(t *testing.T) {
	const first, second = ": still here\n\n", "id: 8\nevent: message\ndata: {\"a\":1}\n\n"
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			notion := newService(t)
			next, gone := make(chan bool), make(chan bool)
			notion.Answer = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.Header().Set("X-Accel-Buffering", "no")
				w.Header().Set("X-Last", r.Header.Get("Last-Event-Id"))
				for _, part := range []string{first, second} {
					_, _ = io.WriteString(w, part)
					_ = http.NewResponseController(w).Flush()
					select {
					case <-next:
					case <-r.Context().Done():
					}
				}
				<-r.Context().Done()
				close(gone)
			}
			g := newGateway(t, people("alice")+notion.server())
			alice := g.person("alice")
			alice.connect("notion")
			res := g.call(method, "/mcp", toolCall, "Authorization", "Bearer "+keyOf("alice"), "Content-Type", "application/json", "Last-Event-ID", "7")
			if res.StatusCode != http.StatusOK || res.Header.Get("X-Last") != "7" || res.Header.Get("X-Accel-Buffering") != "no" {
				t.Fatalf("%d %v", res.StatusCode, res.Header)
			}
			for _, want := range []string{first, second} { // each before the next is written
				got := make([]byte, len(want))
				if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != want {
					t.Fatalf("%q, %v; want %q", got, err, want)
				}
				next <- true
			}
			_ = res.Body.Close()
			<-gone
		})
	}
}

// Every method that may be answered with a request for input is (revision
// 2026-07-28, multi round-trip requests).
func TestAskToConnect_InputRequiredMethods(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server("optional"))
	c := g.person("alice").signIn()
	for method, tt := range map[string]struct{ params, name string }{
		"prompts/get":    {`"name":"greeting","arguments":{"a":"b"}`, "greeting"},
		"resources/read": {`"uri":"notes://1"`, "notes://1"},
		"tools/call":     {`"name":"whoami","arguments":{"a":{"b":[1,2.50]}}`, "whoami"},
	} {
		headers := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", method, "Mcp-Name", tt.name}
		body := `{"jsonrpc":"2.0","id":"x","method":"` + method + `","params":{` + tt.params + `,` + modernMeta + `}}`
		answer := status(t, c.send(body, headers...), http.StatusOK)
		if !strings.Contains(answer, `"resultType":"input_required"`) || !strings.Contains(answer, `"id":"x"`) || !connectLink.MatchString(answer) {
			t.Errorf("%s: %s", method, answer)
			continue
		}
		c.follow(answer)
		retry := strings.Replace(body, `"params":{`, `"params":{"requestState":"`+requestState.FindStringSubmatch(answer)[1]+
			`","inputResponses":{"gw.connect.notion":{"action":"accept"}},`, 1)
		if got := status(t, c.send(retry, headers...), http.StatusOK); !strings.Contains(got, `"account":"alice"`) || strings.Contains(got, "requestState") {
			t.Errorf("%s, again: %s", method, got)
		}
		c.disconnectSignedIn("notion")
	}
}

// disconnectSignedIn disconnects as whoever the browser is signed in as.
func (p *person) disconnectSignedIn(server string) {
	p.g.t.Helper()
	p.post("/oauth/account/disconnect", p.g.page(p.visit(p.g.url+"/oauth/account")), "server", server)
}
