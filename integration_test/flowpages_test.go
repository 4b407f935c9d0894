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

// bcryptOfAlice is of the password alice.
const bcryptOfAlice = "$2a$14$V.zHzdEVvx/CE3DxBKr02uHoyGqIzVhwAYi0hZadbJ39pQpBHrVQm"

// People let an application in, in Chromium: each page of a flow in each state, on
// narrow and wide screens, in light and dark, with axe-core, a keyboard alone and
// without scripts. With -artifacts the pictures are kept.
func TestFlowPagesInChromium(t *testing.T) {
	chromium, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium"))
	if err != nil {
		t.Fatalf("%v: run ./test.sh, or set CHROMIUM", err)
	}
	provider := harness.StartProvider(t, time.Hour)
	notes := harness.ServeAccounts(t, provider, "/notes/mcp")
	const searchKey = "search-key-of-ada-0123456789"
	search := harness.ServeKeyed(t, map[string]string{searchKey: harness.Ada})
	wiki := harness.Record(t)
	servers := "insecure_allow_loopback\n" + `
		scope wiki:write "Change and delete pages"
		scope wiki:admin "Manage who may read the wiki"
		scope export "Export everything as files"
		server wiki /wiki ` + wiki.URL + ` {
			title "Team wiki"
			optional_scopes wiki:write wiki:admin export
		}
		server notes /notes ` + notes.URL + ` {
			title Notes
			optional_scopes export
			auth per_user_oauth
		}
		server search /search ` + search.URL + ` {
			title "Company search"
			auth per_user_headers {
				header X-API-Key "" "Search API key"
				optional
			}
		}
		client editor {
			redirect_uri http://127.0.0.1/callback
		}`
	site := harness.Run(t, harness.Config{
		Directives: `
			identity virtual_key
			identity user_id
			identity anonymous
			virtual_key alice {env.ALICE_KEY}
			virtual_key bob {env.BOB_KEY} search
		` + servers,
		Env: keys,
	})
	known := harness.Run(t, harness.Config{
		Directives: `
			identity caddy
		` + servers,
		Site: `
			@pages path /oauth/consent* /oauth/account* /oauth/connect* /api/oauth/per-user/consent/* /api/oauth/per-user/upstream/*
			basic_auth @pages {
				alice ` + bcryptOfAlice + `
			}`,
	})
	walk := programs.Node(t, "flowpages.test.mjs")
	walk.Env = append(walk.Env, "SITE="+site.URL, "KNOWN_SITE="+known.URL, "ALICE_KEY="+aliceKey, "BOB_KEY="+bobKey, "SEARCH_KEY="+searchKey,
		"CHROMIUM="+chromium, "SCREENSHOTS="+t.ArtifactDir())
	p := programs.Start(t, walk)
	if err := p.WaitFor(t, 10*time.Minute); err != nil { // axe-core looks at each page six times
		t.Fatalf("%v; printed last:\n%s", err, p.Tail())
	}
}
