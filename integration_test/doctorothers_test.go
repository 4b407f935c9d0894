//go:build integration

package integration_test

import (
	"net"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/doctor"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// What the doctor finds of servers that others wrote, and how far clients come
// there. Each of these was looked at by hand, in the code of the server.
func TestDoctorOfOthers(t *testing.T) {
	port := func(t testing.TB) string {
		_, port, err := net.SplitHostPort(programs.FreeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	for _, test := range []struct {
		name  string
		start func(t testing.TB) (url string)
		args  []string
		finds []string
		// reaches is how far all families come, but for those in except.
		reaches doctor.Reached
		except  map[string]doctor.Reached
	}{
		{
			// The demonstration of the official TypeScript SDK asks nobody, forgets state
			// when a request lacks something, and does not look at Origin.
			name: "typescript sdk", start: func(t testing.TB) string {
				port, authPort := port(t), port(t)
				cmd := programs.Node(t, "node_modules/@modelcontextprotocol/sdk/dist/esm/examples/server/simpleStreamableHttp.js", "--oauth")
				cmd.Args = append([]string{cmd.Args[0], "--import", programs.Script(t, "loopback.mjs")}, cmd.Args[1:]...)
				cmd.Env = append(cmd.Env, "MCP_PORT="+port, "MCP_AUTH_PORT="+authPort)
				programs.Start(t, cmd).Expect(t, "Server listening on port "+port)
				return "http://localhost:" + port + "/mcp"
			},
			finds:   []string{"error_without_token", "no_cors", "no_documents", "no_person_asked", "origin_ignored", "state_lost"},
			reaches: doctor.Connected,
			except: map[string]doctor.Reached{
				"2025-11-25-document": doctor.NotOffered, "2026-07-28-document": doctor.NotOffered, "browser": doctor.NotOffered,
			},
		},
		{
			name: "workers-oauth-provider", start: func(t testing.TB) string { return workers(t, port(t)) },
			finds: []string{"no_documents"}, reaches: doctor.Person,
			except: map[string]doctor.Reached{"2025-11-25-document": doctor.NotOffered, "2026-07-28-document": doctor.NotOffered},
		},
		{
			// It cannot fetch the document from here.
			name: "workers-oauth-provider with documents", start: func(t testing.TB) string { return workers(t, port(t), "documents") },
			args:  []string{"--client-document", "https://client.invalid/client.json"},
			finds: []string{"document_refused"}, reaches: doctor.Person,
			except: map[string]doctor.Reached{"2025-11-25-document": doctor.Stopped, "2026-07-28-document": doctor.Stopped},
		},
		{
			name: "oidc-provider", start: func(t testing.TB) string {
				return harness.ServeAccounts(t, harness.StartProvider(t, time.Minute), "/notes/mcp").URL
			},
			args: []string{"--client-document", "https://client.invalid/client.json"},
			// It compares the ports of clients that do not call themselves native, names
			// an address at which nothing can be deleted, and cannot fetch the document.
			finds:   []string{"bad_token_error", "document_refused", "loopback_port", "no_cors", "page_framed", "registration_not_deleted"},
			reaches: doctor.Person,
			except: map[string]doctor.Reached{
				"2025-03-26": doctor.NotOffered, "2025-11-25-document": doctor.Stopped, "2026-07-28-document": doctor.Stopped, "browser": doctor.NotOffered,
			},
		},
		{
			// The example of the official Go SDK has no authorization server until
			// somebody writes one into its code.
			name: "go sdk with auth", start: func(t testing.TB) string {
				port := port(t)
				cmd := exec.Command(programs.Build(t, "go-sdk-auth", "github.com/modelcontextprotocol/go-sdk/examples/auth/server"), "-port", port)
				programs.Start(t, cmd)
				awaitListener(t, "localhost:"+port)
				return "http://localhost:" + port + "/mcp"
			},
			finds: []string{"issuer_invalid", "no_cors"}, reaches: doctor.Stopped,
			except: map[string]doctor.Reached{"2025-03-26": doctor.NotOffered, "browser": doctor.NotOffered},
		},
		{
			name: "go sdk without sign-in", start: func(t testing.TB) string { return harness.Everything(t, true) },
			finds: []string{"no_cors", "origin_ignored"}, reaches: doctor.Connected,
			except: map[string]doctor.Reached{"browser": doctor.NotOffered},
		},
		{
			name: "typescript sdk v2 without sign-in", start: sdkV2,
			finds: []string{"no_cors"}, reaches: doctor.Connected, except: map[string]doctor.Reached{"browser": doctor.NotOffered},
		},
		{
			name: "go sdk, HTTP+SSE", start: func(t testing.TB) string {
				port := port(t)
				cmd := exec.Command(programs.Build(t, "go-sdk-sse", "github.com/modelcontextprotocol/go-sdk/examples/server/sse"), "-host", "127.0.0.1", "-port", port)
				programs.Start(t, cmd)
				awaitListener(t, "127.0.0.1:"+port)
				return "http://127.0.0.1:" + port + "/greeter1"
			},
			finds: []string{"legacy_transport_only"}, reaches: doctor.Stopped,
			except: map[string]doctor.Reached{"http-sse": doctor.Connected},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			command := func(args ...string) *exec.Cmd { return exec.Command(programs.Caddy(t), args...) }
			e := examine(t, command, test.start(t), test.args...)
			e.mustFind(t, test.finds...)
			except := map[string]doctor.Reached{
				"2025-11-25-configured": doctor.Skipped, "hosted": doctor.Skipped, "http-sse": doctor.NotOffered,
			}
			for id, reached := range test.except {
				except[id] = reached
			}
			e.mustReach(t, test.reaches, except)
		})
	}
}

// The clients of each revision get theirs through a site of ours.
func TestDoctorThroughOwnSite(t *testing.T) {
	g := harness.Run(t, harness.Config{TLS: true, Directives: identities + "server v2 /mcp " + sdkV2(t), Env: keys})
	e := examine(t, g.Command, g.URL+"/mcp", "--ca", g.Root(), "--token", "{env.ALICE_KEY}")
	e.mustFind(t, "no_documents")
	want := []string{"2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"}
	if e.Server == nil || !slices.Equal(e.Server.Revisions, want) || e.Server.Tools != 1 {
		t.Errorf("got %+v, want revisions %v and a tool", e.Server, want)
	}
}

// Whatever signs people in, and whoever may register.
func TestDoctorOfOwnSignIn(t *testing.T) {
	provider := harness.StartOIDCProvider(t)
	for name, test := range map[string]struct {
		lines   string
		args    []string
		finds   []string
		reaches doctor.Reached
		except  map[string]doctor.Reached
	}{
		"OpenID Connect": {
			lines: harness.IdentityAt(provider, "company", ""), finds: []string{"no_documents"}, reaches: doctor.Person,
			except: map[string]doctor.Reached{"2025-11-25-document": doctor.NotOffered, "2026-07-28-document": doctor.NotOffered},
		},
		"signed tokens": {
			lines: "identity anonymous\naccess_token_format jwt", finds: []string{"no_documents"}, reaches: doctor.Person,
			except: map[string]doctor.Reached{"2025-11-25-document": doctor.NotOffered, "2026-07-28-document": doctor.NotOffered},
		},
		"configured clients alone": {
			lines: "identity anonymous\nregistration {\ndynamic off\nmetadata_documents off\n}\nclient cli {\nredirect_uri http://127.0.0.1/callback\n}",
			args:  []string{"--client-id", "cli", "--redirect-uri", "http://127.0.0.1:33418/callback"},
			finds: []string{"no_registration"}, reaches: doctor.Stopped,
			except: map[string]doctor.Reached{"2025-11-25-configured": doctor.Person},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := harness.Run(t, harness.Config{TLS: true, Directives: test.lines + "\nserver one /mcp " + harness.Record(t).URL, Env: append(keys, "OIDC_SECRET=of-the-gateway-0123456789")})
			e := examine(t, g.Command, g.URL+"/mcp", append([]string{"--ca", g.Root()}, test.args...)...)
			e.mustFind(t, test.finds...)
			except := map[string]doctor.Reached{"2025-11-25-configured": doctor.Skipped, "hosted": doctor.Skipped, "http-sse": doctor.NotOffered}
			for id, reached := range test.except {
				except[id] = reached
			}
			e.mustReach(t, test.reaches, except)
		})
	}
}

func sdkV2(t testing.TB) string {
	addr := programs.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	programs.Start(t, programs.Node(t, "sdk-v2-server.mjs", port)).Expect(t, "listening at")
	return "http://" + addr + "/mcp"
}

func workers(t testing.TB, port string, args ...string) string {
	programs.Start(t, programs.Node(t, "workers-provider.mjs", append([]string{port}, args...)...)).Expect(t, "listening at")
	return "http://127.0.0.1:" + port + "/mcp"
}

func awaitListener(t testing.TB, addr string) {
	oauthtest.Eventually(t, addr+" does not listen", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// What `add` prints for a server works: people sign in to the site, connect their
// account where the server has some, and call it.
func TestAddWorks(t *testing.T) {
	provider := harness.StartProvider(t, time.Minute)
	accounts := harness.ServeAccounts(t, provider, "/notes/mcp")
	var blocks string
	for name, url := range map[string]string{"notes": accounts.URL, "plain": harness.Everything(t, true)} {
		cmd := exec.Command(programs.Caddy(t), "mcp-oauth", "add", url, "--name", name)
		block, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, block)
		}
		blocks += string(block)
	}
	g := harness.Run(t, harness.Config{TLS: true, Directives: identities + blocks, Env: keys})
	provider.Trust(t, g.Root()) // it fetches the client document of the site
	browser := g.NewBrowser(t)
	client := g.Register(t, "http://127.0.0.1:9/callback")
	services := browser.Identify(t, browser.Open(t, client.Link(g.URL+"/notes/mcp")), alice)
	services = browser.ConnectAs(t, services, "notes", harness.Ada)
	token := client.Redeem(t, browser.Press(t, services, harness.ApproveButton, nil).Leaving, g.URL+"/notes/mcp").AccessToken
	mustBe(t, connect(t, withOver(g.HTTP.Transport, token, g.URL+"/notes/mcp"), nil, ""), harness.Ada)

	token = g.SignIn(t, bob, "/plain/mcp").AccessToken
	if tools, err := connect(t, withOver(g.HTTP.Transport, token, g.URL+"/plain/mcp"), nil, "").ListTools(t.Context(), nil); err != nil || len(tools.Tools) == 0 {
		t.Errorf("the server without sign-in: %v, %v", tools, err)
	}
}
