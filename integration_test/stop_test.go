package integration_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
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
