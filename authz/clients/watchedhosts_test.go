package clients

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Strangers decide which hosts they name. They decide neither that documents
// cannot be fetched nor that they can, nor how much is logged.
func TestStrangersDoNotSwitchDocuments(t *testing.T) {
	ts, h := newDocumentSite(t)
	ts.reload(func(c *siteConfig) { c.Registration.AllowHosts = nil })
	ts.stopLimits()
	for i := range 10 {
		id, _ := oauthtest.Unreachable(t, fmt.Sprintf("127.0.0.%d", 2+i), goodDocument)
		if _, err := ts.lookup(id); err == nil || oauth.AsError(err).Description != unusableDocument(nil).Description {
			t.Errorf("the person reads %v", err)
		}
		_, _ = ts.lookup(fmt.Sprintf("https://10.0.0.%d/c", i))
	}
	if !ts.advertised() {
		t.Error("who names dead hosts switches documents off for everybody")
	}
	if n := ts.logs.FilterLevelExact(zapcore.WarnLevel).Len(); n != 1 {
		t.Errorf("%d warnings for 20 names", n)
	}
	ts.directory.documents.watched.failed("claude.ai", "https://claude.ai/c", egress.ErrUnreachable)
	if _, err := ts.lookup(h.Publish("/c", goodDocument)); err != nil || ts.advertised() {
		t.Errorf("who names a host of their own switches documents on for everybody: %v", err)
	}
}

// What was connected to says nothing of the network, however it answers.
func TestWatchedHostAnswersBadly(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"not found": http.NotFound,
		"broken":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"hangs up":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			ts, h := newDocumentSite(t, func(c *siteConfig) { c.Registration.AllowHosts = []string{"127.0.0.1"} })
			if _, err := ts.lookup(h.Handle("/c", serve)); err == nil || !ts.advertised() {
				t.Errorf("%v, advertised: %t", err, ts.advertised())
			}
		})
	}
}

// A machine that resolves no watched host's name fetches nothing: the first
// client need not find that out.
func TestNoNames(t *testing.T) {
	ts := newTestSite(t)
	var mu sync.Mutex
	var names []string
	works := false
	ts.documents.Resolves = func(ctx context.Context, _ *egress.Client, name string) bool {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the resolver may take for ever")
		}
		mu.Lock()
		defer mu.Unlock()
		names = append(names, name)
		return works
	}
	ts.reload(func(*siteConfig) {})
	asked := func() int { mu.Lock(); defer mu.Unlock(); return len(names) }
	if ts.advertised() || asked() != len(wellKnownHosts) {
		t.Errorf("asked for %d names", asked())
	}
	if ts.advertised() || asked() != len(wellKnownHosts) {
		t.Errorf("asked again at once for %d names", asked())
	}
	mu.Lock()
	works = true
	mu.Unlock()
	ts.clock.Advance(hostRetry)
	ts.advertised()
	oauthtest.Eventually(t, "not advertised though names resolve", ts.advertised)
	if n := asked(); n != len(wellKnownHosts)+1 {
		t.Errorf("asked for %d names", n)
	}
}

func TestWatchedHostsOf(t *testing.T) {
	for name, tc := range map[string]struct {
		policy config.Registration
		want   int
	}{
		"default":       {config.Registration{}, len(wellKnownHosts)},
		"denied":        {config.Registration{DenyHosts: []string{"claude.ai"}}, len(wellKnownHosts) - 1},
		"only listed":   {config.Registration{AllowHosts: []string{"Claude.AI", "claude.ai", "client.example"}}, 2},
		"only a suffix": {config.Registration{AllowHosts: []string{".example.com"}}, 0},
	} {
		if got := watchedHostsOf(&tc.policy); len(got) != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What was not tried, or may not be reached, is no news of the network.
func TestWatchedHostsNoteOnlyTries(t *testing.T) {
	ts := newTestSite(t)
	p := ts.directory.documents.watched
	p.failed("claude.ai", "https://claude.ai/c", egress.ErrUnreachable)
	p.failed("claude.ai", "https://claude.ai/c", egress.ErrUnreachable)
	p.note("http://claude.ai/c", egress.ErrURL)
	if ts.advertised() {
		t.Error("a URL that may not be asked counts as reached")
	}
	p.note("https://client.example/c", fmt.Errorf("%w: %w", egress.ErrUnreachable, egress.ErrAddress))
	if n := ts.logs.FilterLevelExact(zapcore.WarnLevel).Len(); n != 1 {
		t.Errorf("%d warnings", n)
	}
	for range 10 {
		p.failed("claude.ai", "https://claude.ai/c", egress.ErrUnreachable)
	}
	if n := ts.logs.FilterLevelExact(zapcore.WarnLevel).Len(); n != 1 {
		t.Errorf("%d warnings of one outage", n)
	}
}

// Where documents may be on this machine, names say nothing.
func TestNoNamesButLoopback(t *testing.T) {
	ts, _ := newDocumentSite(t)
	ts.documents.Resolves = func(context.Context, *egress.Client, string) bool { return false }
	ts.reload(func(*siteConfig) {})
	if !ts.advertised() {
		t.Error("not advertised")
	}
}
