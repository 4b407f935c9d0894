package integration_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// An operator reloads again and again, each time with a changed configuration,
// while calls come in at a steady rate and a stream is open. No call fails, the
// stream misses nothing, and a sign-in begun before is finished after (N01).
func TestReloadUnderLoad_N01(t *testing.T) {
	upstream := harness.Tick(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + "flow_lifetime 15m\nserver ticker /mcp " + upstream.URL,
		Env:        keys,
	})
	token := g.SignIn(t, alice, "/mcp").AccessToken
	stream := g.OpenStream(t, "/mcp", token)
	early := g.Register(t, "http://127.0.0.1:9/callback")
	browser := harness.NewBrowser(t)
	services := browser.Identify(t, browser.Open(t, early.Link(g.URL+"/mcp")), bob)

	stopLoad := callSteadily(t, g, upstream, token)
	before, err := os.ReadFile(g.Caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		g.Configure(t, strings.Replace(string(before), "flow_lifetime 15m", fmt.Sprintf("flow_lifetime %dm", 16+n), 1))
		g.Reload(t)
		stream.Follow(t, 10)
	}
	calls, failures := stopLoad()
	t.Logf("%d calls during 5 reloads", calls)
	if calls < 100 {
		t.Errorf("only %d calls: no load", calls)
	}
	for _, failure := range failures {
		t.Error(failure)
	}

	page := browser.Press(t, services, harness.ApproveButton, nil)
	early.Redeem(t, page.Leaving, g.URL+"/mcp")
}

// callSteadily sends a call every few milliseconds, however long the last one
// takes, until the returned function is called.
//
// A Go server that shuts down hangs up on idle connections, and a request may
// just be on its way on one. No server can help that, and HTTP clients send
// such a request again. So it only counts as a failure if the request was read:
// then the upstream got it, and its answer is lost.
func callSteadily(t *testing.T, g *harness.Gateway, upstream *harness.Ticker, token string) func() (calls int64, failures []error) {
	t.Helper()
	var (
		wait     sync.WaitGroup
		calls    atomic.Int64
		mu       sync.Mutex
		failures []error
	)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: 10 * time.Second}
	afresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	stop := make(chan struct{})
	wait.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			wait.Go(func() {
				id := calls.Add(1)
				err := g.Call(t.Context(), client, "/mcp", token, id)
				if hungUp(err) && !upstream.Called(id) {
					err = g.Call(t.Context(), afresh, "/mcp", token, id)
				}
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					failures = append(failures, err)
				}
			})
		}
	})
	return func() (int64, []error) {
		close(stop)
		wait.Wait()
		return calls.Load(), failures
	}
}

// hungUp reports whether the server closed the connection without an answer.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		err != nil && strings.Contains(err.Error(), "server closed idle connection") // net/http exports no error for it
}
