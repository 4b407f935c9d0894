package caddymodule

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// withProbes adds a site for probes to a Caddyfile, and returns its address.
func (g *instance) withProbes(caddyfile, options string) (text, at string) {
	at = freeAddr(g.t)
	_, port, _ := net.SplitHostPort(at)
	return caddyfile + "http://:" + port + " {\nbind 127.0.0.1\nmcp_oauth_health " + options + "\nrespond \"next\" 418\n}\n", "http://" + at
}

func probe(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "10.0.0.7" // as probes of containers have it
	res, err := once.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(text))
}

func wantProbe(t *testing.T, url string, status int, body string) {
	t.Helper()
	if got, text := probe(t, "GET", url); got != status || text != body {
		t.Errorf("%s: got %d %q, want %d %q", url, got, text, status, body)
	}
}

func TestProbes(t *testing.T) {
	lines := alice + "server a /mcp " + oauthtest.Serve(t, nil).URL
	g := newGateway(t, lines)
	text, at := g.withProbes(g.caddyfile(lines), "")
	g.load(text)
	wantProbe(t, at+"/readyz", 200, "ok")
	wantProbe(t, at+"/livez", 200, "ok")
	wantProbe(t, at+"/other", 418, "next")
	if got, _ := probe(t, "POST", at+"/readyz"); got != 405 {
		t.Errorf("POST: status %d, want 405", got)
	}
	if got, _ := probe(t, "HEAD", at+"/livez"); got != 200 {
		t.Errorf("HEAD: status %d, want 200", got)
	}
	text, at = g.withProbes(g.caddyfile(lines), "{\nready /a\nlive /b\n}")
	g.load(text)
	wantProbe(t, at+"/a", 200, "ok")
	wantProbe(t, at+"/b", 200, "ok")
	wantProbe(t, at+"/readyz", 418, "next")
	text, at = g.withProbes("{\nadmin off\n}\n", "") // and no site of ours
	g.load(text)
	wantProbe(t, at+"/readyz", 503, "not ready")
	wantProbe(t, at+"/livez", 200, "ok")
}

// Probes come to a site of ours, too.
func TestProbesInSite(t *testing.T) {
	lines := alice + "server a /mcp " + oauthtest.Serve(t, nil).URL
	g := newGateway(t, lines)
	g.load(strings.Replace(g.caddyfile(lines), "\tmcp_oauth {\n\t\tidentity", "\tmcp_oauth_health\n\tmcp_oauth {\n\t\tidentity", 1))
	if got := status(t, g.call("GET", "/readyz", ""), 200); got != "ok\n" {
		t.Errorf("got %q", got)
	}
	status(t, g.call("POST", "/mcp", toolCall), 200)
}

// While the store cannot be used, the process is not ready, and alive.
func TestProbesWithoutStore(t *testing.T) {
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, g.dir+"/caddy.log"
	text := g.caddyfile(alice + "server a /mcp " + oauthtest.Serve(t, nil).URL)
	remove, said := obstacles["database damaged"](t, g, &text)
	t.Cleanup(func() {
		remove()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	text, at := g.withProbes(text, "")
	g.load(text)
	wantProbe(t, at+"/readyz", 503, "not ready")
	wantProbe(t, at+"/livez", 200, "ok")
	if _, body := probe(t, "GET", at+"/readyz"); strings.Contains(body, said[0]) {
		t.Errorf("a stranger is told %q", body)
	}
	addr := freeAddr(t)
	g.load(strings.Replace(text, "admin off", "admin "+addr, 1))
	wantCounts(t, g.scrape(addr), map[string]float64{"ready": 0})
}

// A store that fails while Caddy runs makes it not ready.
func TestProbesWhileStoreIsUnwell(t *testing.T) {
	lines := alice + "server a /mcp " + oauthtest.Serve(t, nil).URL
	g := newGateway(t, lines)
	text, at := g.withProbes(g.caddyfile(lines), "")
	g.load(text)
	state := activeApp().state
	if err := state.store.Close(); err != nil {
		t.Fatal(err)
	}
	state.checkStore(t.Context())
	wantProbe(t, at+"/readyz", 503, "not ready")
	wantProbe(t, at+"/livez", 200, "ok")
	if err := readiness(); err == nil {
		t.Error("ready without a store")
	}
}

func TestProbeMistakes(t *testing.T) {
	for options, want := range map[string]string{
		"x y":                      "",
		"{\nready readyz\n}":       `ready "readyz" is no path`,
		"{\nready /x\nlive /x\n}":  "the same path /x",
		"{\nready /x\nready /y\n}": "ready is there twice",
		"{\nhealthy /x\n}":         `unknown option "healthy"`,
		"{\nready\n}":              "ready needs a path",
		"{\nready /x /y\n}":        "ready needs a path",
	} {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(":80 {\nmcp_oauth_health "+options+"\n}\n"), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", options, err, want)
		}
	}
}

// What the check at start would have refused, had the store been there, is not ready
// once it is.
func TestProbesOfUnfitSite(t *testing.T) {
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, g.dir+"/caddy.log"
	text := g.caddyfile(alice + "server a /mcp " + oauthtest.Serve(t, nil).URL)
	remove, _ := obstacles["database damaged"](t, g, &text)
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	text, at := g.withProbes(strings.Replace(text, "bind 127.0.0.1", "bind 127.0.0.1\nbasic_auth {\nbob $2a$14$DApveeDRDgFbL4AVtkfOTem0yW79AwzCGJ9TvvuTNmeqRASiQfY5C\n}", 1), "")
	g.load(text)
	wantProbe(t, at+"/readyz", 503, "not ready")
	remove()
	oauthtest.Eventually(t, "the store is open and the site is checked", func() bool {
		err := readiness()
		return err != nil && strings.Contains(err.Error(), "cannot work")
	})
	wantProbe(t, at+"/readyz", 503, "not ready")
}
