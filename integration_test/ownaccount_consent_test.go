//go:build integration

package integration_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// Three people connect two servers while they sign in. Each call of each of
// them carries their own token for that server and nothing of the client's
// (E08), before and after the tokens expire; nobody is asked again, and in the
// end no token is in what the gateway printed or wrote (M01).
func TestOwnAccountConnectedAtConsent_E08_M01(t *testing.T) {
	w := runOwn(t, 4*time.Second, "")
	secrets := map[string]string{}
	sessions := map[*resident]map[string]*mcp.ClientSession{}
	for _, who := range residents(t) {
		sessions[who] = map[string]*mcp.ClientSession{}
		for path := range w.servers {
			token := w.signIn(t, who, path).AccessToken
			secrets[who.account+"'s token for "+path] = token
			session := connect(t, with(token, w.URL+path), nil, "")
			sessions[who][path] = session
			got, _, err := callWhoAmI(t, session)
			if err != nil || got.Account != who.account {
				t.Fatalf("%s is %q at %s: %v", who.user, got.Account, path, err)
			}
			for name, values := range got.Headers {
				if text := strings.Join(values, " "); strings.Contains(text, token) || name == "Cookie" {
					t.Errorf("%s at %s has the client's %s: %q", who.user, path, name, text)
				}
			}
		}
	}
	if counts := w.provider.Counts(t); counts.Registrations != 2 || counts.Codes != 6 {
		t.Errorf("two servers and six connections took %+v", counts)
	}

	// Until each connection has been refreshed at least once.
	refreshed := func() bool { return w.provider.Counts(t).Refreshes >= 6 }
	for deadline := time.Now().Add(time.Minute); !refreshed(); {
		if time.Now().After(deadline) {
			t.Fatalf("not every connection was refreshed: %+v", w.provider.Counts(t))
		}
		for who, byPath := range sessions {
			for path, session := range byPath {
				if got, _, err := callWhoAmI(t, session); err != nil || got.Account != who.account {
					t.Fatalf("%s is %q at %s: %v", who.user, got.Account, path, err)
				}
			}
		}
	}
	counts := w.provider.Counts(t)
	if counts.Refusals != 0 || counts.Codes != 6 {
		t.Errorf("after the tokens expired: %+v", counts)
	}
	for path, server := range w.servers {
		for _, seen := range server.Seen() {
			if seen.Token != "" {
				secrets["an upstream token at "+path+" "+seen.Token[len(seen.Token)-8:]] = seen.Token
			}
		}
	}
	w.MustNotKeep(t, secrets)
}

// A TypeScript client connects a server at consent, without knowing that there
// is anything to connect.
func TestOwnAccountTypeScriptClient(t *testing.T) {
	w := runOwn(t, time.Minute, shortLived)
	who := residents(t)[0]
	client := programs.Start(t, programs.Node(t, "sdk.mjs", "v2", w.URL+"/notes", "whoami", "{}"))
	who.browser.Deliver(t, who.approve(t, harness.SignInLink(t, client), titles["/notes"]))
	wantCallsAs(t, client, who.account)
	if n := w.Requests(t, http.MethodGet, "/api/oauth/per-user/authorize"); n != 1 {
		t.Errorf("the person signed in %d times, want once", n)
	}
}

// wantCallsAs waits for a TypeScript client, which calls a tool before and after
// its token expires, and checks that both calls came with the account.
func wantCallsAs(t *testing.T, client *programs.Program, account string) {
	t.Helper()
	if err := client.Wait(t); err != nil {
		t.Fatalf("%v; printed:\n%s", err, client)
	}
	printed := strings.TrimSpace(client.String())
	var did struct {
		Tools, Results []string
		Refreshed      bool
	}
	if err := json.Unmarshal([]byte(printed[strings.LastIndexByte(printed, '\n')+1:]), &did); err != nil {
		t.Fatalf("%v; printed:\n%s", err, printed)
	}
	if !slices.Equal(did.Tools, []string{"whoami"}) || !did.Refreshed || len(did.Results) != 2 {
		t.Fatalf("%+v", did)
	}
	for _, result := range did.Results {
		var got harness.WhoAmI
		if err := json.Unmarshal([]byte(result), &got); err != nil || got.Account != account {
			t.Errorf("the call came as %q: %v", got.Account, err)
		}
	}
}
