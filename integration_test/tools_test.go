//go:build integration

package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// narrowed lets nobody delete anything, and has what creates need a scope.
const narrowed = ` {
	title Notes
	refusals explain
	tools {
		scope notes:write create_*
		deny delete_*
		allow *
	}
}
scope notes:write "Write notes"
`

// lastLine reads what a program printed last.
func lastLine(t *testing.T, p *programs.Program, into any) {
	t.Helper()
	if err := p.Wait(t); err != nil {
		t.Fatalf("%v; printed:\n%s", err, p)
	}
	printed := strings.TrimSpace(p.String())
	if err := json.Unmarshal([]byte(printed[strings.LastIndexByte(printed, '\n')+1:]), into); err != nil {
		t.Fatalf("%v; printed:\n%s", err, printed)
	}
}

// People choose the tools of an application in Chromium, one by one, and change that
// later, on narrow and wide screens, in light and dark, with axe-core, a keyboard alone
// and without scripts.
func TestToolPagesInChromium(t *testing.T) {
	notes := harness.ServeNotebook(t)
	g := harness.Run(t, harness.Config{Directives: identities + "server notes /notes " + notes.URL + " {\ntitle Notes\n}", Env: keys})
	walk := programs.Node(t, "toolpages.test.mjs")
	walk.Env = append(walk.Env, "SITE="+g.URL, "ALICE_KEY="+aliceKey, "ADD_TOOL="+notes.AddURL, "CHROMIUM="+chromium(t), "SCREENSHOTS="+t.ArtifactDir())
	p := programs.Start(t, walk)
	if err := p.WaitFor(t, 10*time.Minute); err != nil { // axe-core looks at each page six times
		t.Fatalf("%v; printed last:\n%s", err, p.Tail())
	}
}

// The TypeScript SDKs see the tools that may be used, and can show why another one is
// refused. The second one leads its person to the page for what a tool needs, and goes on;
// the first one refreshes its token instead, shows that this does not help, and can use
// the other tools as before.
func TestNarrowedTypeScript(t *testing.T) {
	notes := harness.ServeNotebook(t)
	g := harness.Run(t, harness.Config{Directives: identities + "server notes /notes " + notes.URL + narrowed, Env: keys})
	for _, sdk := range []string{"v1", "v2"} {
		t.Run(sdk, func(t *testing.T) {
			browser := harness.NewBrowser(t)
			client := programs.Start(t, programs.Node(t, "narrowed.mjs", sdk, g.URL+"/notes"))
			browser.Deliver(t, browser.SignIn(t, client.Expect(t, `Visit 1: (\S+) `)[1], alice))
			want := "Server returned 403 after trying upscoping"
			if sdk == "v2" {
				page := browser.Identify(t, browser.Open(t, client.Expect(t, `Visit 2: (\S+) `)[1]), alice)
				page.MustShow(t, "Write notes")
				browser.Deliver(t, browser.Press(t, page, harness.ApproveButton, nil))
				want = "did create_page"
			}
			var did struct {
				Tools                           []string
				Refusal, Before, Created, After string
			}
			lastLine(t, client, &did)
			slices.Sort(did.Tools)
			if !slices.Equal(did.Tools, []string{"create_page", "read_page"}) {
				t.Errorf("tools are %q, want those that may be used", did.Tools)
			}
			if !strings.Contains(did.Refusal, "Unknown tool: delete_page") {
				t.Errorf("the refusal is %q", did.Refusal)
			}
			if did.Before != "did read_page" || !strings.HasSuffix(did.Created, want) || did.After != "did read_page" {
				t.Errorf("called %q, then %q, then %q; want %q in between", did.Before, did.Created, did.After, want)
			}
		})
	}
}

// goSDK is the official Go SDK as a client, with a browser of its own.
func goSDK(t *testing.T, client *mcp.Client, endpoint string, visit func(link string) *oauthtest.Page) *mcp.ClientSession {
	t.Helper()
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "Go client", RedirectURIs: []string{"http://127.0.0.1:33333/callback"}, GrantTypes: []string{"authorization_code", "refresh_token"},
		}},
		RequestRefreshToken: true,
		AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			answer := visit(args.URL).Leaving.Query()
			return &auth.AuthorizationResult{Code: answer.Get("code"), State: answer.Get("state"), Iss: answer.Get("iss")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: endpoint, OAuthHandler: handler}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// So does the official Go SDK.
func TestNarrowedGoSDK(t *testing.T) {
	notes := harness.ServeNotebook(t)
	g := harness.Run(t, harness.Config{Directives: identities + "server notes /notes " + notes.URL + narrowed, Env: keys})
	var shown []string
	session := goSDK(t, mcp.NewClient(&mcp.Implementation{Name: "integration-test", Version: "1"}, nil), g.URL+"/notes", func(link string) *oauthtest.Page {
		browser := harness.NewBrowser(t)
		page := browser.Identify(t, browser.Open(t, link), alice)
		shown = append(shown, page.Text())
		return browser.Press(t, page, harness.ApproveButton, nil)
	})
	list, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var tools []string
	for _, tool := range list.Tools {
		tools = append(tools, tool.Name)
	}
	slices.Sort(tools)
	if !slices.Equal(tools, []string{"create_page", "read_page"}) {
		t.Errorf("tools are %q, want those that may be used", tools)
	}
	if _, err = session.CallTool(t.Context(), &mcp.CallToolParams{Name: "delete_page"}); err == nil || !strings.Contains(err.Error(), "Unknown tool: delete_page") {
		t.Errorf("the refusal is %v", err)
	}
	if len(shown) != 1 || strings.Contains(shown[0], "Write notes") {
		t.Errorf("pages so far: %q", shown)
	}
	for range 2 {
		result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "create_page"})
		if err != nil {
			t.Fatal(err)
		}
		if text := result.Content[0].(*mcp.TextContent).Text; text != "did create_page" {
			t.Errorf("it answers %q", text)
		}
	}
	if len(shown) != 2 || !strings.Contains(shown[1], "Write notes") {
		t.Errorf("the person saw %d pages, want two, the second with what the tool needs: %q", len(shown), shown)
	}
}

// mailboxes starts a server where people have several accounts.
func mailboxes(t *testing.T) *harness.Gateway {
	t.Helper()
	provider := harness.StartProvider(t, time.Hour)
	gmail := harness.ServeAccounts(t, provider, "/gmail/mcp")
	return harness.Run(t, harness.Config{
		Directives: identities + "insecure_allow_loopback\nserver gmail /gmail/mcp " + gmail.URL + " {\ntitle Mail\nauth per_user_oauth {\naccounts several\n}\n}",
		Env:        keys,
	})
}

// mailbox lets an application in at the address of an account, and connects that: each
// browser is signed in at the provider to one.
func mailbox(t *testing.T, link, name, account string) *oauthtest.Page {
	t.Helper()
	browser := harness.NewBrowser(t)
	page := browser.Identify(t, browser.Open(t, link), alice)
	page = browser.ConnectAs(t, page, "Mail ("+name+")", account)
	page.MustShow(t, "whoami") // what this account can do is there at once
	return browser.Press(t, page, harness.ApproveButton, nil)
}

// One client has two mailboxes of one person at the same time, and each call carries
// the token of the right one: the TypeScript SDKs.
func TestTwoAccountsInOneTypeScriptClient(t *testing.T) {
	for _, sdk := range []string{"v1", "v2"} {
		t.Run(sdk, func(t *testing.T) {
			g := mailboxes(t)
			client := programs.Start(t, programs.Node(t, "two-accounts.mjs", sdk, g.URL+"/gmail/mcp/"))
			for name, account := range map[string]string{"work": harness.Ada, "home": harness.Bea} {
				harness.NewBrowser(t).Deliver(t, mailbox(t, client.Expect(t, name+` Visit 1: (\S+) `)[1], name, account))
			}
			var got map[string][]string
			lastLine(t, client, &got)
			if want := map[string][]string{"work": {harness.Ada}, "home": {harness.Bea}}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("called as %v, want %v", got, want)
			}
		})
	}
}

// So does the official Go SDK.
func TestTwoAccountsInOneGoClient(t *testing.T) {
	g := mailboxes(t)
	client := mcp.NewClient(&mcp.Implementation{Name: "integration-test", Version: "1"}, nil)
	accounts := map[string]string{"work": harness.Ada, "home": harness.Bea}
	var calls sync.WaitGroup
	for name, account := range accounts {
		session := goSDK(t, client, g.URL+"/gmail/mcp/"+name, func(link string) *oauthtest.Page { return mailbox(t, link, name, account) })
		for range 20 {
			calls.Go(func() {
				result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "whoami"})
				if err != nil {
					t.Error(err)
					return
				}
				if got := result.StructuredContent.(map[string]any)["account"]; got != account {
					t.Errorf("%s called as %v, want %s", name, got, account)
				}
			})
		}
	}
	calls.Wait()
}

// Servers of both TypeScript SDKs, with sessions and without, are asked for their tools
// when somebody signs in whose client has called nothing yet. A session that was opened
// for that is ended.
func TestTypeScriptServersAreAskedForTools(t *testing.T) {
	for _, script := range []string{"sdk-v1-server.mjs", "sdk-v2-server.mjs"} {
		t.Run(script, func(t *testing.T) {
			addr := programs.FreeAddr(t)
			server := programs.Start(t, programs.Node(t, script, addr[strings.LastIndexByte(addr, ':')+1:]))
			server.Expect(t, "listening at")
			g := harness.Run(t, harness.Config{Directives: identities + "server hello /hello http://" + addr + "/mcp", Env: keys})
			client := g.Register(t, "http://127.0.0.1:9/callback")
			browser := harness.NewBrowser(t)
			browser.Identify(t, browser.Open(t, client.Link(g.URL+"/hello")), alice).MustShow(t, "Only those with a tick", "hello")
			if script == "sdk-v1-server.mjs" {
				server.Expect(t, "sessions: 0 ")
			}
		})
	}
}
