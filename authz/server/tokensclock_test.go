package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// behind has the server go on as a process whose clock is behind.
func (ts *testServer) behind(by time.Duration) {
	ts.clock.Advance(-by)
	ts.store.ahead.Add(int64(by))
}

// M09: a refresh that another process repeats tells the client how long the token
// still is good, by whichever clock.
func TestRepeatedBetweenClocks_M09(t *testing.T) {
	for _, behind := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		ts := newTestServer(t, func(c *siteConfig) { c.RefreshReuseGrace = new(config.Duration(time.Hour)) })
		ts.behind(-behind) // the first goes wrong the other way
		first := ts.signedIn()
		second := ts.refresh("app", first.Refresh)
		ts.behind(2 * behind)
		again := ts.refresh("app", first.Refresh)
		if again.status != http.StatusOK || again.Access != second.Access || again.Expires != second.Expires {
			t.Errorf("%v behind: %d, good for %d s; want %d s as the first time", behind, again.status, again.Expires, second.Expires)
		}
	}
}

// M09: whoever reads a token, or asks about it, is told times of the store's clock.
func TestTokenTimesBetweenClocks_M09(t *testing.T) {
	for _, behind := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		ts := newTestServer(t, signsTokens)
		ts.behind(behind)
		issued := ts.redeem("web", ts.approved(request("client_id", "web"), alice).Get("code"))
		iat, exp := testStart.Unix(), testStart.Add(time.Hour).Unix()
		if _, claims := ts.claims(issued.Access); claims["iat"] != float64(iat) || claims["exp"] != float64(exp) {
			t.Errorf("%v behind, the token says iat %v and exp %v; want %d and %d", behind, claims["iat"], claims["exp"], iat, exp)
		}
		got := ts.introspect("web", issued.Access)
		if !strings.Contains(got.body, fmt.Sprintf(`"exp":%d,"iat":%d`, exp, iat)) {
			t.Errorf("%v behind, introspection says %s; want exp %d and iat %d", behind, got.body, exp, iat)
		}
	}
}
