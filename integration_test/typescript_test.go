//go:build integration

package integration_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// Both TypeScript SDKs, registering themselves and with a metadata document.
// js/sdk.mjs signs in, lists, calls, waits until the token has expired and
// calls again. At the end nothing they were given is left in what the gateway
// printed or wrote (M01, M07).
func TestTypeScriptClients(t *testing.T) {
	upstream := harness.Record(t)
	documents := harness.ServeDocuments(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + shortLived + "insecure_allow_loopback\nserver recorder /mcp " + upstream.URL,
		Env:        append(documents.Env, keys...),
	})
	secrets := map[string]string{"alice's key": aliceKey, "bob's key": bobKey}

	for _, sdk := range []string{"v1", "v2"} {
		for name, document := range map[string]string{
			"dynamic registration": "",
			"metadata document":    documents.Publish("TypeScript client", "http://localhost/callback", "http://127.0.0.1/callback"),
		} {
			t.Run(sdk+" "+name, func(t *testing.T) {
				signIns := g.Requests(t, http.MethodGet, "/api/oauth/per-user/authorize")
				client := programs.Start(t, programs.Node(t, "sdk.mjs", sdk, g.URL+"/mcp", "greet", `{"name":"Ada"}`, document))
				harness.NewBrowser(t).SignInFor(t, client, alice)
				if err := client.Wait(t); err != nil {
					t.Fatalf("%v; printed:\n%s", err, client)
				}
				printed := strings.TrimSpace(client.String())
				var did struct {
					Tools, Results     []string
					Refreshed, Rotated bool
					ClientID, Scope    string
					Secrets            map[string]string
				}
				if err := json.Unmarshal([]byte(printed[strings.LastIndexByte(printed, '\n')+1:]), &did); err != nil {
					t.Fatalf("%v; printed:\n%s", err, printed)
				}
				if !slices.Equal(did.Tools, []string{"greet"}) || !slices.Equal(did.Results, []string{"Hello, Ada!", "Hello, Ada!"}) {
					t.Errorf("tools %v answered %v", did.Tools, did.Results)
				}
				if !did.Refreshed || !did.Rotated {
					t.Errorf("after expiry: refreshed %v, rotated %v", did.Refreshed, did.Rotated)
				}
				if document != "" && did.ClientID != document {
					t.Errorf("client ID is %s, want that of the document, %s", did.ClientID, document)
				}
				if n := g.Requests(t, http.MethodGet, "/api/oauth/per-user/authorize") - signIns; n != 1 {
					t.Errorf("the person signed in %d times, want once", n)
				}
				for what, secret := range maps.All(did.Secrets) {
					secrets[sdk+" "+name+" "+what] = secret
				}
			})
		}
	}
	g.MustNotKeep(t, secrets)
}
