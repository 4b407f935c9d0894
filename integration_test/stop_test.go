package integration_test

import (
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
