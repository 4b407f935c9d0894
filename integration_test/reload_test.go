package integration_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// An operator reloads again and again, each time with a changed configuration,
// while calls come in at a steady rate and a stream is open. No call that was
// read fails, and no more are hung up on unread than of a plain reverse_proxy in
// the same process; the stream misses nothing, and a sign-in begun before is
// finished after (N01).
func TestReloadUnderLoad_N01(t *testing.T) {
	upstream := harness.Tick(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + "flow_lifetime 15m\nserver ticker /mcp " + upstream.URL,
		// The same without the plugin.
		Site: "handle /plain {\nrewrite /mcp\nreverse_proxy " + strings.TrimSuffix(upstream.URL, "/mcp") + "\n}",
		Env:  keys,
	})
	token := g.SignIn(t, alice, "/mcp").AccessToken
	stream := g.OpenStream(t, "/mcp", token)
	early := g.Register(t, "http://127.0.0.1:9/callback")
	browser := harness.NewBrowser(t)
	services := browser.Identify(t, browser.Open(t, early.Link(g.URL+"/mcp")), bob)

	gated := callSteadily(t, g, upstream, "/mcp", token, 0)
	plain := callSteadily(t, g, upstream, "/plain", token, 1<<32)
	before, err := os.ReadFile(g.Caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		g.Configure(t, strings.Replace(string(before), "flow_lifetime 15m", fmt.Sprintf("flow_lifetime %dm", 16+n), 1))
		g.Reload(t)
		stream.Follow(t, 10)
	}
	ours, theirs := gated(), plain()
	t.Logf("5 reloads: of %d calls through the gate, %d were hung up on unread; of %d through a plain reverse_proxy, %d",
		ours.calls, ours.hungUp, theirs.calls, theirs.hungUp)
	if ours.hungUp > 2*theirs.hungUp+10 { // they differ by chance
		t.Error("the gate makes more calls be hung up on than Caddy does without it")
	}
	for _, load := range []load{ours, theirs} {
		if load.calls < 100 {
			t.Errorf("only %d calls: no load", load.calls)
		}
		for _, failure := range load.failures {
			t.Error(failure)
		}
	}

	page := browser.Press(t, services, harness.ApproveButton, nil)
	early.Redeem(t, page.Leaving, g.URL+"/mcp")
}

// load is what became of steady calls.
type load struct {
	calls int
	// hungUp is how often the server hung up before it had read one.
	hungUp   int
	failures []error
}

// callSteadily sends a call to the path every few milliseconds, however long
// the last one takes, until the returned function is called. The JSON-RPC ids
// count up from first.
//
// A Go server that shuts down hangs up on connections that it has read nothing
// from, and a request may just be on its way on one. A handler cannot help
// that, and such a request can be sent again. So it only counts as a failure if
// the upstream got the request, and its answer is lost. Caddy without the plugin
// has as many; the test compares.
func callSteadily(t *testing.T, g *harness.Gateway, upstream *harness.Ticker, path, token string, first int64) func() load {
	t.Helper()
	var (
		wait sync.WaitGroup
		mu   sync.Mutex
		done load
	)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: 10 * time.Second}
	afresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	stop := make(chan struct{})
	wait.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for id := first; ; id++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			wait.Go(func() {
				err := g.Call(t.Context(), client, path, token, id)
				unread := 0
				for ; hungUp(err) && !upstream.Called(id); unread++ {
					err = g.Call(t.Context(), afresh, path, token, id)
				}
				mu.Lock()
				defer mu.Unlock()
				done.calls++
				done.hungUp += unread
				if err != nil {
					done.failures = append(done.failures, fmt.Errorf("%s: %w", path, err))
				}
			})
		}
	})
	return func() load {
		close(stop)
		wait.Wait()
		return done
	}
}

// hungUp reports whether the server closed the connection without an answer.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		err != nil && strings.Contains(err.Error(), "server closed idle connection") // net/http exports no error for it
}
