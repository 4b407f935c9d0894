package caddymodule

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// B09: of many that redeem a code at once, over HTTP and on a disk, one gets
// tokens, and nobody keeps them.
func TestConcurrentRedemption_B09(t *testing.T) {
	const racers, rounds = 64, 25
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: racers}}
	defer client.CloseIdleConnections()
	for range rounds {
		form := g.approved("client", g.url+"/mcp").Encode()
		statuses, bodies, start := make([]int, racers), make([]string, racers), make(chan struct{})
		var all sync.WaitGroup
		for i := range racers {
			all.Go(func() {
				<-start
				res, err := client.Post(g.url+"/api/oauth/per-user/token", "application/x-www-form-urlencoded", strings.NewReader(form))
				if err != nil {
					t.Error(err)
					return
				}
				defer res.Body.Close()
				body, _ := io.ReadAll(res.Body)
				statuses[i], bodies[i] = res.StatusCode, string(body)
			})
		}
		close(start)
		all.Wait()
		won := ""
		for i, code := range statuses {
			switch {
			case code == http.StatusOK && won == "":
				won = accessToken(t, bodies[i])
			case code != http.StatusBadRequest || !strings.Contains(bodies[i], `"invalid_grant"`):
				t.Fatalf("racer %d: %d %s", i, code, bodies[i])
			}
		}
		if won == "" {
			t.Fatalf("the answers are %q, want tokens in one", bodies)
		}
		status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+won), http.StatusUnauthorized)
	}
}
