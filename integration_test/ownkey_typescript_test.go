//go:build integration

package integration_test

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// With either TypeScript SDK a person pastes a key while signing in. The client
// needs to know nothing of it, and the calls carry the key, before and after
// the client's own token expires.
func TestOwnKeyTypeScriptClients(t *testing.T) {
	w := runKeyed(t, shortLived, noOption)
	for i, sdk := range []string{"v1", "v2"} {
		t.Run(sdk, func(t *testing.T) {
			who := holders(t)[i]
			client := programs.Start(t, programs.Node(t, "sdk.mjs", sdk, w.URL+"/search", "whoami", "{}"))
			who.browser.Deliver(t, who.approve(t, harness.SignInLink(t, client), func() {}))
			wantCallsAs(t, client, who.account)
		})
	}
}
