package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// While somebody is at the provider, the operator gives their name to somebody
// else, with another key. What comes back is nobody's: the calls of the next
// one carry no account, or their own.
func TestNameGivenToAnotherMeanwhile_I10(t *testing.T) {
	for name, connects := range map[string]bool{"who connects nothing": false, "who connects an account": true} {
		t.Run(name, func(t *testing.T) {
			notion := newService(t)
			g := newGateway(t, people("alice")+notion.server())
			first, second := g.person("alice"), g.person("second")
			handOver := sync.OnceFunc(func() {
				given := strings.Replace(people("alice"), fmt.Sprintf("%x", storage.HashOf(keyOf("alice"))), fmt.Sprintf("%x", storage.HashOf(keyOf("second"))), 1)
				g.load(g.caddyfile(given + notion.server()))
				if connects {
					second.connect("notion")
				}
			})
			first.browser.Follows = func(u *url.URL) bool {
				if strings.HasPrefix(u.Path, "/api/oauth/callback") {
					handOver()
				}
				return true
			}
			page := first.post("/oauth/account/connect", first.accountPage(), "server", "notion")
			if !strings.Contains(page, "So nothing was connected") || strings.Contains(page, ">Connected<") {
				t.Errorf("the person is not told:\n%s", page)
			}
			if connects {
				second.wantAccount("second")
				return
			}
			if got := status(t, second.call(toolCall), http.StatusOK); !connectLink.MatchString(got) {
				t.Errorf("called as %s", got)
			}
		})
	}
}

// Neither is a request state that was given to the one before.
func TestRequestStateOfAnotherKey_D25(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server())
	version := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "whoami"}
	call := func(more string) string {
		return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami",` + more + modernMeta + `}}`
	}
	before := g.person("alice")
	var asked struct{ Result struct{ RequestState string } }
	if err := json.Unmarshal([]byte(status(t, before.call(call(""), version...), http.StatusOK)), &asked); err != nil || asked.Result.RequestState == "" {
		t.Fatalf("asked %+v, %v", asked, err)
	}
	retry := call(`"requestState":"` + asked.Result.RequestState + `","inputResponses":{"gw.connect.notion":{"action":"accept"}},`)
	status(t, before.call(retry, version...), http.StatusOK)
	given := strings.Replace(people("alice"), fmt.Sprintf("%x", storage.HashOf(keyOf("alice"))), fmt.Sprintf("%x", storage.HashOf(keyOf("second"))), 1)
	g.load(g.caddyfile(given + notion.server()))
	status(t, g.person("second").call(retry, version...), http.StatusBadRequest)
}
