//go:build integration

package integration_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// The TypeScript SDKs' providers for programs that act for nobody, with a secret and
// with a key: they find everything from the server's URL, and their MCP session goes
// on with the next token.
func TestTypeScriptMachines_C21_C22(t *testing.T) {
	const secret = "batch-secret-0123456789abcdef"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public()}}})
	if err != nil {
		t.Fatal(err)
	}
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + shortLived + "server recorder /mcp " + upstream.URL +
			" {\ntools {\nallow greet user:client:batch user:client:signer\n}\n}\n" +
			"client batch {\nsecret {env.BATCH_SECRET}\nclient_credentials\n}\n" +
			fmt.Sprintf("client signer {\njwks `%s`\nclient_credentials\nservers recorder\n}\n", public),
		Env: append(slices.Clone(keys), "BATCH_SECRET="+secret),
	})
	kept := map[string]string{"the secret": secret}
	for _, sdk := range []string{"v1", "v2"} {
		for client, credential := range map[string][2]string{"batch": {"secret", secret}, "signer": {"key", private}} {
			t.Run(sdk+" "+client, func(t *testing.T) {
				program := programs.Start(t, programs.Node(t, "machine.mjs", sdk, g.URL, g.URL+"/mcp", "greet", `{"name":"Ada"}`, client, credential[0], credential[1]))
				if err := program.Wait(t); err != nil {
					t.Fatalf("%v; printed:\n%s", err, program)
				}
				printed := strings.TrimSpace(program.String())
				var did struct {
					Tools, Results, Tokens []string
					Anew, Session          bool
					Refresh                string
				}
				if err := json.Unmarshal([]byte(printed[strings.LastIndexByte(printed, '\n')+1:]), &did); err != nil {
					t.Fatalf("%v; printed:\n%s", err, printed)
				}
				if !slices.Equal(did.Tools, []string{"greet"}) || !slices.Equal(did.Results, []string{"Hello, Ada!", "Hello, Ada!"}) {
					t.Errorf("tools %v answered %v", did.Tools, did.Results)
				}
				if !did.Anew || !did.Session || did.Refresh != "" {
					t.Errorf("got another token: %v, in the same session: %v, refresh token %q", did.Anew, did.Session, did.Refresh)
				}
				for i, token := range did.Tokens {
					kept[fmt.Sprint(sdk, client, i)] = token
				}
			})
		}
	}
	if n := g.Requests(t, http.MethodGet, "/api/oauth/per-user/authorize"); n != 0 {
		t.Errorf("%d sign-ins began", n)
	}
	g.MustNotKeep(t, kept)
}
