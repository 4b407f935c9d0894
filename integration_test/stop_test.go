package integration_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// A stream never ends by itself, so a server that waits for it never stops.
func TestStopWithOpenStreams(t *testing.T) {
	for name, stop := range map[string]func(*harness.Gateway, testing.TB) time.Duration{
		"SIGTERM":    (*harness.Gateway).Stop,
		"caddy stop": (*harness.Gateway).StopByAdmin,
	} {
		t.Run(name, func(t *testing.T) {
			upstream := harness.Tick(t)
			g := harness.Run(t, harness.Config{
				Directives: identities + "server ticker /mcp " + upstream.URL,
				Env:        keys,
			})
			token := g.SignIn(t, alice, "/mcp").AccessToken
			streams := make([]*harness.Stream, 5)
			for i := range streams {
				streams[i] = g.OpenStream(t, "/mcp", token)
				<-streams[i].Events
			}
			if took := stop(g, t); took > 10*time.Second {
				t.Errorf("stopping took %v", took)
			}
			for _, stream := range streams {
				for range stream.Events { // until the end, which has come
				}
			}
		})
	}
}

// Nor would one that waits for an MCP server which does not answer.
func TestStopWithAHangingCall(t *testing.T) {
	arrived, leave := make(chan bool, 1), make(chan bool)
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- true
		<-leave
	}))
	defer upstream.Close()
	defer close(leave)
	g := harness.Run(t, harness.Config{
		Directives: identities + "server hanging /mcp " + upstream.URL,
		Env:        keys,
	})
	token := g.SignIn(t, alice, "/mcp").AccessToken
	go func() {
		req, _ := http.NewRequest("POST", g.URL+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
		req.Header.Set("Authorization", "Bearer "+token)
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-arrived
	if took := g.Stop(t); took > 15*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

// What was granted before a restart is good after it.
func TestRestartKeepsGrants(t *testing.T) {
	upstream := harness.Tick(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + "server ticker /mcp " + upstream.URL,
		Env:        keys,
	})
	client := g.Register(t, "http://127.0.0.1:9/callback")
	answer := harness.NewBrowser(t).SignIn(t, client.Link(g.URL+"/mcp"), alice)
	tokens := client.Redeem(t, answer.Leaving, g.URL+"/mcp")

	g.Stop(t)
	g.Restart(t)
	g.OpenStream(t, "/mcp", tokens.AccessToken)
	renewed := client.Refresh(t, tokens.RefreshToken)
	g.OpenStream(t, "/mcp", renewed.AccessToken)
}

// While Caddy waits to stop, load balancers are told, and calls are answered.
func TestStopIsNotReady(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer upstream.Close()
	g := harness.Run(t, harness.Config{
		Directives: identities + "server quick /mcp " + upstream.URL,
		Site:       "mcp_oauth_health",
		Env:        keys,
	})
	text, err := os.ReadFile(g.Caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	g.Stop(t)
	g.Configure(t, strings.Replace(string(text), "persist_config off", "persist_config off\n\tshutdown_delay 3s", 1))
	g.Restart(t)
	ask := func(method, path string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, g.URL+path, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+aliceKey)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := ask("GET", "/readyz"); got != http.StatusOK {
		t.Errorf("running: status %d, want 200", got)
	}
	stopped := make(chan time.Duration, 1)
	go func() { stopped <- g.Stop(t) }()
	oauthtest.Eventually(t, "it is not ready", func() bool { return ask("GET", "/readyz") == http.StatusServiceUnavailable })
	for path, want := range map[string]int{"/livez": 200, "/mcp": 200, "/readyz": 503} {
		method := "GET"
		if path == "/mcp" {
			method = "POST"
		}
		if got := ask(method, path); got != want {
			t.Errorf("stopping: %s: status %d, want %d", path, got, want)
		}
	}
	if took := <-stopped; took < 2*time.Second || took > 15*time.Second {
		t.Errorf("stopping took %v, want the 3s of shutdown_delay", took)
	}
}
