//go:build integration

package integration_test

import (
	"cmp"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// chromium is the path of the browser.
func chromium(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium"))
	if err != nil {
		t.Fatalf("%v: run ./test.sh, or set CHROMIUM", err)
	}
	return path
}

// People look after what they let in and connected, in Chromium: each page in
// each state, on narrow and wide screens, in light and dark, with axe-core, a
// keyboard alone and without scripts. With -artifacts the pictures are kept.
func TestAccountPagesInChromium(t *testing.T) {
	provider := harness.StartProvider(t, time.Hour)
	notes := harness.ServeAccounts(t, provider, "/notes/mcp")
	const searchKey = "search-key-of-ada-0123456789"
	search := harness.ServeKeyed(t, map[string]string{searchKey: harness.Ada})
	plain := harness.Record(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + "insecure_allow_loopback\n" +
			"server notes /notes " + notes.URL + ` {
				title Notes
				auth per_user_oauth {
					optional
					scopes openid email read
				}
			}
			server search /search ` + search.URL + ` {
				title Search
				auth per_user_headers {
					header X-API-Key "" "Search API key"
					optional
				}
			}
			server plain /plain ` + plain.URL + ` {
				title Plain
			}`,
		Env: keys,
	})
	walk := programs.Node(t, "accountpages.test.mjs")
	walk.Env = append(walk.Env, "SITE="+g.URL, "VIRTUAL_KEY="+aliceKey, "SEARCH_KEY="+searchKey,
		"CHROMIUM="+chromium(t), "SCREENSHOTS="+t.ArtifactDir())
	p := programs.Start(t, walk)
	if err := p.WaitFor(t, 10*time.Minute); err != nil { // axe-core looks at each page six times
		t.Fatalf("%v; printed last:\n%s", err, p.Tail())
	}
}
