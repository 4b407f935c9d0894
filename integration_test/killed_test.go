//go:build integration

package integration_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

var (
	kills         = flag.Int("kills", 15, "how often TestKilled kills a Caddy with a bbolt file")
	killsPostgres = flag.Int("kills-postgres", 8, "how often TestKilled kills a Caddy with PostgreSQL")
)

// A Caddy is killed at random moments, while people sign in, refresh, connect
// accounts, use them, disconnect them and revoke. After each restart all that was
// acknowledged holds, an answer that got lost is repeated, nothing is spent twice,
// and the store has no half record.
func TestKilled_B15_D13(t *testing.T) {
	t.Run("bbolt", func(t *testing.T) {
		var k *killing
		k = startKilling(t, "", func(t *testing.T) {
			if out, said, err := mcpOAuth(k.Gateway, nil, "check", k.Database(), "--config", k.Caddyfile); err != nil {
				t.Errorf("check: %v: %s%s", err, out, said)
			}
		}, func(t *testing.T) int {
			var report struct{ Records map[string]int }
			out, said, err := mcpOAuth(k.Gateway, nil, "check", k.Database(), "--json")
			if err == nil {
				err = json.Unmarshal([]byte(out), &report)
			}
			if err != nil {
				t.Fatalf("check: %v: %s%s", err, out, said)
			}
			return report.Records["revocation"]
		})
		k.run(t, *kills)
	})
	t.Run("postgres", func(t *testing.T) {
		server := pgtest.For(t, pgtest.Options{})
		schema := server.Schema()
		k := startKilling(t, "storage postgres \""+server.DSN()+"\" {\n\tschema "+schema+"\n}", func(t *testing.T) {
			for what, found := range orphans {
				if n := count(t, server, schema, found); n > 0 {
					t.Errorf("%d of %s", n, what)
				}
			}
		}, func(t *testing.T) int { return count(t, server, schema, "SELECT count(*) FROM {}revocations") })
		k.run(t, *killsPostgres)
	})
}

// orphans are records that no transaction leaves behind.
var orphans = map[string]string{
	"refresh tokens without a grant": `SELECT count(*) FROM {}refresh_tokens t WHERE NOT EXISTS (SELECT FROM {}grants g WHERE g.id = t.grant_id)`,
	"codes without a grant":          `SELECT count(*) FROM {}codes t WHERE NOT EXISTS (SELECT FROM {}grants g WHERE g.id = t.grant_id)`,
	"access tokens without a grant":  `SELECT count(*) FROM {}access_tokens t WHERE NOT EXISTS (SELECT FROM {}grants g WHERE t.hash = ANY (g.access_tokens))`,
	"grants without their refresh token": `SELECT count(*) FROM {}grants g WHERE g.of_client IS NOT NULL AND g.refresh_token IS NOT NULL
		AND NOT EXISTS (SELECT FROM {}refresh_tokens t WHERE t.hash = g.refresh_token)`,
}

func count(t *testing.T, server *pgtest.Server, schema, query string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	err = conn.QueryRow(t.Context(), replaceSchema(query, schema)).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// killing is a gateway that is killed, with people who use it.
type killing struct {
	*harness.Gateway
	provider *oauthtest.Provider
	visitors []*visitor
	sound    func(*testing.T)     // looks at the store after a kill
	queued   func(*testing.T) int // how many revocations wait there
	rand     *rand.Rand
	hit      map[string]int // kills by what they interrupted
	done     int
	upstream *upstreamState
}

func startKilling(t *testing.T, storage string, sound func(*testing.T), queued func(*testing.T) int) *killing {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	k := &killing{sound: sound, queued: queued, rand: rand.New(rand.NewPCG(seed, 0)), hit: map[string]int{}}
	k.provider = oauthtest.NewProvider(t)
	k.provider.Lifetime = accountLife
	k.provider.Members["expires_in"] = int(accountLife.Seconds())
	server := oauthtest.NewMCPServer(t, k.provider)
	k.upstream = watchUpstream(k.provider, server)
	// With the records in PostgreSQL, the limit of registrations outlives a kill.
	directives, env := "identity virtual_key\ninsecure_allow_loopback\naccess_token_lifetime 10m\nregistration {\n\trate_limit 0\n}\n", []string(nil)
	for i := range 6 {
		key := fmt.Sprintf("vk-%d-0123456789abcdefghijklmnopqrs", i)
		directives += fmt.Sprintf("virtual_key person%d {env.KEY%d}\n", i, i)
		env = append(env, fmt.Sprintf("KEY%d=%s", i, key))
		k.visitors = append(k.visitors, newVisitor(t, k, fmt.Sprintf("account-%d", i), key, seed+uint64(i)+1))
	}
	k.Gateway = harness.Run(t, harness.Config{
		Directives: directives + "server notes /notes " + server.URL + oauthtest.MCPPath + " {\n\ttitle Notes\n\tauth per_user_oauth\n}",
		Storage:    storage,
		Env:        env,
	})
	return k
}

func (k *killing) run(t *testing.T, times int) {
	began := time.Now()
	for n := range times {
		// Each has its own test, so that what it printed is let go.
		if !t.Run(fmt.Sprint("kill ", n), k.once) {
			break
		}
	}
	k.judge(t)
	var done visits
	for _, v := range k.visitors {
		done.add(v.visits)
	}
	t.Logf("%d kills in %v; while they happened, these were under way: %s", k.done, time.Since(began).Round(time.Second), byCount(k.hit))
	t.Logf("acknowledged: %d sign-ins, %d refreshes, %d calls, %d disconnects, %d revocations", done.signIns, done.refreshes, done.calls, done.disconnects, done.revocations)
	t.Logf("after a restart: %d lost answers to a refresh repeated, %d codes redeemed that had been sent, %d refused as used; %d connections in doubt, as their provider was being asked",
		done.repeated, done.redeemed, done.codesLost, done.doubtful)
	if times >= 200 {
		for _, what := range []string{signingIn, redeeming, refreshing, connecting, usingAccount} {
			if k.hit[what] == 0 {
				t.Errorf("no kill hit: %s", what)
			}
		}
	}
	k.checkRevocations(t)
}

// once starts Caddy after a kill, looks at what is left, and lets people do what they
// do until the next one.
func (k *killing) once(t *testing.T) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the gateway printed last:\n%s", k.Tail())
		}
	})
	k.judge(t)
	var all sync.WaitGroup
	killed := make(chan struct{})
	for _, v := range k.visitors {
		all.Go(func() { v.visit(t, killed) })
	}
	time.Sleep(time.Duration(k.rand.Int64N(int64(700 * time.Millisecond))))
	close(killed) // from now on, what fails may fail
	k.Crash()
	k.hit[usingAccount] += k.upstream.underWay()
	all.Wait()
	for _, v := range k.visitors {
		if v.interrupted != "" {
			k.hit[v.interrupted]++
		}
	}
	if k.done++; *kills <= 50 || k.done%5 == 0 { // it takes as long as a start
		k.sound(t)
	}
}

func (k *killing) judge(t *testing.T) {
	select {
	case <-k.Exited():
		k.Revive(t)
	default: // it was never killed
	}
	for _, v := range k.visitors {
		v.judge(t)
	}
	if early := k.provider.ReusedEarly(); len(early) > 0 {
		t.Errorf("refresh tokens of the provider that were sent again while their access tokens worked: %v", early)
	}
}

// checkRevocations: what was disconnected is revoked at the provider, or waits
// for it in the store.
func (k *killing) checkRevocations(t *testing.T) {
	waits := 0
	for _, v := range k.visitors {
		for _, token := range v.disconnected {
			if account, _ := k.provider.Accepts(token); account != "" {
				waits++
			}
		}
	}
	k.Stop(t)
	if queued := k.queued(t); waits > queued {
		t.Errorf("%d disconnected accounts are not revoked at the provider, and %d revocations wait", waits, queued)
	} else {
		t.Logf("%d disconnected accounts are to be revoked still, and %d revocations wait", waits, queued)
	}
}

func byCount(counts map[string]int) (text string) {
	for _, what := range slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return counts[b] - counts[a] }) {
		text += fmt.Sprintf("%s %d, ", what, counts[what])
	}
	return text
}
