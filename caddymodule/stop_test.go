package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// D09: what was withdrawn ends what was approved with it, for good: given back,
// at once or later, it gives nobody back their tokens.
func TestWithdrawnEndsGrants_D09(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	server := "server a /mcp " + up.URL + "\nserver b /b " + up.URL + "\n"
	t.Setenv("SECRET", "vK3-wq9ZpL0_x2Rt-77a")
	const app = "client app {\nsecret {env.SECRET}\nredirect_uri http://127.0.0.1/cb\n}\n"
	full := people("alice", "bob") + "identity user_id\n" + server
	aliceLine := strings.SplitAfter(people("alice"), "\n")
	withoutAlice := people("bob") + "identity user_id\n" + server
	narrowed := strings.Replace(full, aliceLine[2], strings.TrimSpace(aliceLine[2])+" b\n", 1)
	if narrowed == full {
		t.Fatalf("no line of alice in %q", full)
	}
	for name, test := range map[string]struct {
		identity  string
		typed     url.Values
		withdrawn string
		ends      bool
	}{
		"key removed":           {"vk", url.Values{"vk": {keyOf("alice")}}, withoutAlice, true},
		"key of somebody else":  {"vk", url.Values{"vk": {keyOf("bob")}}, withoutAlice, false},
		"servers narrowed":      {"vk", url.Values{"vk": {keyOf("alice")}}, narrowed, true},
		"identity kind removed": {"user-id", url.Values{"user_id": {"carol"}}, strings.Replace(full, "identity user_id\n", "", 1), true},
		"server removed":        {"vk", url.Values{"vk": {keyOf("alice")}}, strings.Replace(full, "server a /mcp "+up.URL+"\n", "", 1), false},
		"client added":          {"vk", url.Values{"vk": {keyOf("alice")}}, app + full, false},
	} {
		for how, between := range map[string]func(*instance, string, string){
			"reloaded": func(g *instance, withdrawn, back string) { g.load(withdrawn); g.load(back) },
			"reloaded without a pause": func(g *instance, withdrawn, back string) {
				for _, text := range []string{withdrawn, back} {
					if err := loadCaddyfile(text); err != nil {
						g.t.Fatal(err)
					}
				}
				g.load(back)
			},
			"while Caddy was down": func(g *instance, withdrawn, back string) {
				for _, text := range []string{withdrawn, back} {
					if err := caddy.Stop(); err != nil {
						g.t.Fatal(err)
					}
					g.load(text)
					g.settled()
				}
			},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				g := newGateway(t, full)
				g.settled()
				g.identity, g.typed = test.identity, test.typed
				answer := g.signIn("client", g.url+"/mcp")
				token := "Bearer " + accessToken(t, answer)
				status(t, g.call("POST", "/mcp", initialize, "Authorization", token), http.StatusOK)
				between(g, g.caddyfile(test.withdrawn), g.caddyfile(full))
				call, refresh := http.StatusOK, http.StatusOK
				if test.ends {
					call, refresh = http.StatusUnauthorized, http.StatusBadRequest
				}
				status(t, g.call("POST", "/mcp", initialize, "Authorization", token), call)
				g.refresh(answer, refresh)
			})
		}
	}
}

// settled waits until what was withdrawn before Caddy started has ended.
func (g *instance) settled() {
	g.t.Helper()
	oauthtest.Eventually(g.t, "what was withdrawn is not looked at", func() bool { return activeApp().endedAll() })
}

func (a *App) endedAll() bool {
	a.ending.Lock()
	defer a.ending.Unlock()
	return a.ended
}

// D09: a configuration that was refused withdraws nothing.
func TestRefusedConfigurationWithdrawsNothing_D09(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	full := people("alice", "bob") + "server a /mcp " + up.URL + "\n"
	g := newGateway(t, full)
	g.settled()
	g.identity, g.typed = "vk", url.Values{"vk": {keyOf("alice")}}
	answer := g.signIn("client", g.url+"/mcp")
	without := g.caddyfile(people("bob") + "server a /mcp " + up.URL + "\n")
	taken := oauthtest.Serve(t, nil) // another app cannot start: its port is in use
	refused := without + "\nhttp://127.0.0.2:" + taken.URL[strings.LastIndex(taken.URL, ":")+1:] + " {\nbind 127.0.0.1\n}\n"
	if err := loadCaddyfile(refused); err == nil {
		t.Fatal("the configuration is accepted")
	}
	g.load(g.caddyfile(full))
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+accessToken(t, answer)), http.StatusOK)
	g.refresh(answer, http.StatusOK)
}

// While the store fails, the log is told now and then, and not ten times a second.
func TestWithdrawnWhileTheStoreFails(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := alice + "server a /mcp " + up.URL
	g := newGateway(t, lines)
	g.settled()
	if err := stateOf(t, g).store.Close(); err != nil {
		t.Fatal(err)
	}
	g.load(g.caddyfile(lines) + "\n# again")
	oauthtest.Eventually(t, "the log is not told again", func() bool { return len(g.toldOfWithdrawals()) >= 4 })
	times := g.toldOfWithdrawals() // one of them of the configuration before, as it stops
	if took := times[3].Sub(times[0]); took < (2+4)*liveInterval {
		t.Errorf("told four times within %v, want growing pauses", took)
	}
}

// toldOfWithdrawals returns when the log was told that withdrawals could not be ended.
func (g *instance) toldOfWithdrawals() (at []time.Time) {
	g.t.Helper()
	for line := range strings.Lines(g.log()) {
		var entry struct {
			Time   float64 `json:"ts"`
			Logger string  `json:"logger"`
		}
		if strings.Contains(line, "ending what was withdrawn from the configuration") && json.Unmarshal([]byte(line), &entry) == nil && entry.Logger != "events" {
			at = append(at, time.UnixMicro(int64(entry.Time*1e6)))
		}
	}
	return at
}
