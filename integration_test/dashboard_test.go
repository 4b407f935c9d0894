//go:build integration

package integration_test

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// dashed is a gateway at which people sign in at the dashboard of
// examples/dashboard, in front of a server that everybody uses alike, and of one on
// which each person has an account.
type dashed struct {
	*harness.Gateway
	dashboard *harness.Dashboard
	notes     *harness.Accounts
	recorder  *harness.Recorder
}

// sharedSecret is what a gateway and a dashboard share.
const sharedSecret = "uX3-kf8aQ2m_Wz71uX3-kf8aQ2m_Wz71"

func runDashed(t *testing.T, consent, more string) *dashed {
	t.Helper()
	provider := harness.StartProvider(t, time.Minute)
	d := &dashed{dashboard: harness.PlaceDashboard(t), notes: harness.ServeAccounts(t, provider, "/notes/mcp"), recorder: harness.Record(t)}
	key, env := "jwks_uri "+d.dashboard.URL+"/jwks.json", []string(nil)
	if consent == "there" {
		key, env = "secret {env.DASHBOARD_SECRET}", []string{"DASHBOARD_SECRET=" + sharedSecret}
	}
	d.Gateway = harness.Run(t, harness.Config{
		Directives: `identity dashboard {
			authorize_url ` + d.dashboard.URL + `/oauth/authorize
			issuer ` + d.dashboard.URL + `
			audience mcp
			` + key + `
			claims email displayName role groups
			consent ` + consent + `
		}
		insecure_allow_loopback
		` + more + `
		server notes /notes ` + d.notes.URL + accountServer("Notes") + `
		server recorder /mcp ` + d.recorder.URL + ` {
			title Recorder
			identity_header X-MCP-User identity
		}`,
		Env: env,
	})
	d.dashboard.Start(t, d.Gateway, env...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the dashboard printed last:\n%s", d.dashboard.Tail())
		}
	})
	return d
}

// The official Go SDK, which registers itself, with either shape; the server learns
// who calls, and the dashboard's word for it is in no place of the gateway.
func TestDashboardWithGoSDK(t *testing.T) {
	for _, consent := range []string{"here", "there"} {
		t.Run(consent, func(t *testing.T) {
			d := runDashed(t, consent, "")
			browser := harness.NewBrowser(t)
			config := auth.AuthorizationCodeHandlerConfig{
				DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
					ClientName: "Go client", RedirectURIs: []string{"http://127.0.0.1:33333/callback"}, GrantTypes: []string{"authorization_code", "refresh_token"},
				}},
				AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
					if strings.HasPrefix(args.URL, d.dashboard.URL) != (consent == "there") {
						t.Errorf("the client is sent to %s", args.URL)
					}
					answer := d.letIn(t, browser, args.URL, "jane").Query()
					return &auth.AuthorizationResult{Code: answer.Get("code"), State: answer.Get("state"), Iss: answer.Get("iss")}, nil
				},
			}
			handler, err := auth.NewAuthorizationCodeHandler(&config)
			if err != nil {
				t.Fatal(err)
			}
			client := mcp.NewClient(&mcp.Implementation{Name: "integration-test", Version: "1"}, nil)
			session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: d.URL + "/mcp", OAuthHandler: handler}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "greet", Arguments: map[string]any{"name": "Ada"}})
			if err != nil || result.Content[0].(*mcp.TextContent).Text != "Hello, Ada!" {
				t.Errorf("greet answers %+v, %v", result, err)
			}
			if received := d.recorder.Received(); len(received) == 0 || received[len(received)-1].Header.Get("X-MCP-User") != "dashboard:u-1001" {
				t.Errorf("the server is told of %d calls, the last with %v", len(received), received[len(received)-1].Header)
			}
			d.MustNotKeep(t, map[string]string{"the dashboard's secret": sharedSecret})
		})
	}
}

// letIn walks from the link of a client to its redirect URI: approving here, or at
// the dashboard.
func (d *dashed) letIn(t *testing.T, b *harness.Browser, link, person string) *url.URL {
	t.Helper()
	page := b.Open(t, link)
	if !strings.HasPrefix(link, d.dashboard.URL) {
		services := d.identified(t, b, page, person)
		services.MustShow(t, person+"@acme.example")
		return b.Press(t, services, harness.ApproveButton, nil).Leaving
	}
	consent := b.SignInAtDashboard(t, page, person)
	consent.MustShow(t, "not verified", "wants to use, as "+person+"@acme.example", "a program on this computer")
	return b.Press(t, consent, "Allow", nil).Leaving
}

// identified signs somebody in who is asked who they are, and goes on.
func (d *dashed) identified(t *testing.T, b *harness.Browser, page *oauthtest.Page, person string) *oauthtest.Page {
	t.Helper()
	return b.ThroughDashboard(t, d.dashboard, page, person)
}

// Both TypeScript SDKs, with either shape.
func TestDashboardWithTypeScriptSDK(t *testing.T) {
	for _, consent := range []string{"here", "there"} {
		d := runDashed(t, consent, shortLived)
		for _, sdk := range []string{"v1", "v2"} {
			t.Run(consent+" "+sdk, func(t *testing.T) {
				client := programs.Start(t, programs.Node(t, "sdk.mjs", sdk, d.URL+"/mcp", "greet", `{"name":"Ada"}`))
				browser := harness.NewBrowser(t)
				browser.Deliver(t, &oauthtest.Page{Leaving: d.letIn(t, browser, harness.SignInLink(t, client), "jane")})
				if err := client.Wait(t); err != nil {
					t.Fatalf("%v; printed:\n%s", err, client)
				}
				printed := strings.TrimSpace(client.String())
				var did struct {
					Results            []string
					Refreshed, Rotated bool
				}
				if err := json.Unmarshal([]byte(printed[strings.LastIndexByte(printed, '\n')+1:]), &did); err != nil {
					t.Fatalf("%v; printed:\n%s", err, printed)
				}
				if !slices.Equal(did.Results, []string{"Hello, Ada!", "Hello, Ada!"}) || !did.Refreshed || !did.Rotated {
					t.Errorf("did %+v", did)
				}
			})
		}
	}
}

// A client as Claude Code is one: it registers a redirect URI on localhost, listens
// on a port of its own, and asks for no scope. The account on the server behind is
// connected on the consent page here, and there on the account page, to which the
// dashboard leads. Whoever disconnects it is asked again by a link of this site.
func TestAccountsBehindDashboard(t *testing.T) {
	for _, consent := range []string{"here", "there"} {
		t.Run(consent, func(t *testing.T) {
			d := runDashed(t, consent, "")
			browser := harness.NewBrowser(t)
			client := d.Register(t, "http://localhost/callback")
			client.RedirectURI = "http://localhost:53682/callback"
			link := client.Link(d.URL + "/notes")
			var answer *url.URL
			if consent == "here" {
				services := d.identified(t, browser, browser.Open(t, link), "jane")
				services = browser.ConnectAs(t, services, "Notes", harness.Ada)
				answer = browser.Press(t, services, harness.ApproveButton, nil).Leaving
			} else {
				sent := browser.Open(t, link) // our own endpoint passes the request on
				at := browser.SignInAtDashboard(t, browser.Follow(t, sent), "jane")
				at.MustShow(t, "Notes", "not connected")
				account := d.identified(t, browser, browser.Open(t, at.Link("not connected")), "jane")
				browser.ConnectAs(t, account, "Notes", harness.Ada)
				answer = browser.Press(t, at, "Allow", nil).Leaving
			}
			token := client.Redeem(t, answer, d.URL+"/notes").AccessToken
			links := 0
			session := connect(t, with(token, d.URL+"/notes"), opensURLs(func(link string) {
				links++
				browser.ConnectAs(t, browser.Open(t, link), "Notes", harness.Ada).MustShow(t, "Notes is connected")
			}), "2026-07-28")
			mustBe(t, session, harness.Ada)
			disconnect := func() {
				t.Helper()
				browser.Press(t, browser.Open(t, d.URL+"/oauth/account"), "Yes, disconnect Notes", nil)
			}
			disconnect()
			mustBe(t, session, harness.Ada)
			if links != 1 {
				t.Errorf("the person was shown %d links, want one", links)
			}
			// Somebody else at the same dashboard has no account yet.
			other := harness.NewBrowser(t)
			account := d.identified(t, other, other.Open(t, d.URL+"/oauth/account"), "john")
			account.MustShow(t, "john@acme.example")
			if strings.Contains(account.Text(), harness.Ada) {
				t.Errorf("john's page shows: %s", account.Text())
			}
			if consent == "here" {
				return
			}
			// A client that cannot show a link is told it in words, and is not sent to a
			// page that connects nothing.
			disconnect()
			answered := d.Post(t, "/notes", token, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)
			if !strings.Contains(answered.Text, d.URL+"/oauth/connect/") || answered.StatusCode != http.StatusForbidden || answered.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%d %v %s", answered.StatusCode, answered.Header, answered.Text)
			}
		})
	}
}

// With a real browser, both shapes; see js/dashboard.test.mjs.
func TestDashboardInChromium(t *testing.T) {
	chromium, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium"))
	if err != nil {
		t.Fatalf("%v: run ./test.sh, or set CHROMIUM", err)
	}
	for _, consent := range []string{"here", "there"} {
		d := runDashed(t, consent, "")
		walk := programs.Node(t, "dashboard.test.mjs")
		walk.Env = append(walk.Env, "MCP_URL="+d.URL+"/mcp", "DASHBOARD_URL="+d.dashboard.URL, "CONSENT="+consent,
			"CHROMIUM="+chromium, "SCREENSHOTS="+t.ArtifactDir())
		t.Log(programs.RunToEnd(t, walk))
		d.AwaitRequests(t, http.MethodPost, "/api/oauth/per-user/token", 1)
	}
}
