//go:build integration

package integration_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// With either TypeScript SDK a person pastes a key while signing in. The client
// needs to know nothing of it, and the calls carry the key, before and after
// the client's own token expires.
func TestOwnKeyTypeScriptClients(t *testing.T) {
	w := runKeyed(t, shortLived, noOption)
	for i, sdk := range []string{"v1", "v2"} {
		t.Run(sdk, func(t *testing.T) {
			who := holders(t)[i]
			client := harness.Start(t, harness.Node(t, "sdk.mjs", sdk, w.URL+"/search", "whoami", "{}"))
			who.browser.Deliver(t, who.approve(t, client.SignInLink(t), func() {}))
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
				if err := json.Unmarshal([]byte(result), &got); err != nil || got.Account != who.account {
					t.Errorf("the call came as %q: %v", got.Account, err)
				}
			}
		})
	}
}
