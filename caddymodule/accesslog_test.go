package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// secretParams are the parameters of URLs that no log may have.
var secretParams = []string{
	"code", "state", "flow_id", "ticket", "token", "access_token", "refresh_token", "id_token", "client_secret", "code_verifier", "csrf_token",
}

const secretText = "secret-canary/with?signs=&more"

// A16: no route of the site, whatever it answers, leaves a secret of a URL in
// the access log or in Caddy's own at level DEBUG, with the filter of the
// example; nor does a request for another host, which is in nobody's log.
func TestNoRouteLogsASecret_A16(t *testing.T) {
	notion := newService(t)
	lines := people("alice") + "identity user_id\n" + notion.server("optional") +
		"server keyed /keyed " + notion.URL + "/mcp {\nauth per_user_headers {\noptional\n}\n}\n" +
		"server shared /shared " + notion.URL + "/mcp {\nauth oauth {\nresource " + notion.URL + "/mcp\n}\n}\n" +
		"server own /own " + notion.URL + "/mcp {\nauth oauth {\nclient_id us\ncallback_path /provider/came/back\n}\n}\n"
	for name, address := range map[string]string{"own site": "", "site for all hosts": "every"} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, lines)
			access := filepath.Join(g.dir, "access.log")
			filter := strings.Replace(exampleFilter(t), "format filter {", "format filter {\nwrap json", 1)
			text := strings.Replace(g.caddyfile(lines+"public_url "+g.url), "bind 127.0.0.1", "bind 127.0.0.1\nlog {\noutput file "+access+filter+"}", 1)
			text = strings.Replace(text, "format json\n", strings.TrimSpace(filter)+"\n", 1)
			if address != "" {
				text = strings.Replace(text, "http://"+g.addr+" {", "http://:"+g.addr[strings.LastIndex(g.addr, ":")+1:]+" {", 1)
			}
			g.load(text)
			sent := 0
			for _, path := range routesOf(t, g) {
				for _, method := range []string{"GET", "POST"} {
					for _, host := range []string{g.addr, "foreign.example"} {
						g.callWithSecrets(method, path, host)
						sent++
					}
				}
			}
			g.wantNoSecret(access, sent/2)
		})
	}
}

// routesOf returns a path for each route of the site, and some that have none.
func routesOf(t *testing.T, g *instance) []string {
	t.Helper()
	s := activeApp().sites.byIssuer[g.url]
	var paths []string
	for _, path := range s.routes.Paths() {
		switch {
		case strings.HasSuffix(path, "/oauth/connect/"):
			path += url.PathEscape(secretText)
		case strings.HasSuffix(path, "/") && len(path) > 1:
			path += "x"
		}
		paths = append(paths, path)
	}
	paths = append(paths, "/oauth/none-of-ours", "/api/oauth/none-of-ours")
	if len(paths) < 40 {
		t.Fatalf("only %d routes: %v", len(paths), paths)
	}
	return paths
}

// callWithSecrets sends a request with all that can be secret in a URL.
func (g *instance) callWithSecrets(method, path, host string) {
	g.t.Helper()
	query := url.Values{"server": {"notion"}, "error": {"x"}}
	for _, param := range secretParams {
		query.Set(param, secretText)
	}
	from := g.url + "/oauth/connect/" + url.PathEscape(secretText) + "?" + query.Encode()
	res := g.call(method, path+"?"+query.Encode(), "", "Host", host, "Authorization", "", "Referer", from, "X-Forwarded-Uri", from)
	res.Body.Close()
}

// wantNoSecret waits until the log has as many lines, and asserts that neither
// it nor Caddy's own has a secret.
func (g *instance) wantNoSecret(access string, lines int) {
	g.t.Helper()
	var logged []byte
	oauthtest.Eventually(g.t, fmt.Sprintf("the access log has fewer than %d lines", lines), func() bool {
		var err error
		if logged, err = os.ReadFile(access); err != nil {
			g.t.Fatal(err)
		}
		return strings.Count(string(logged), "\n") >= lines
	})
	for where, text := range map[string]string{"access log": string(logged), "log": g.log()} {
		for line := range strings.Lines(text) {
			if strings.Contains(line, "secret-canary") {
				g.t.Errorf("the %s has a secret: %s", where, line)
			}
		}
	}
}

// A16: what is sent to the wrong host is in no log that filters nothing.
func TestForeignHostIsNotLogged_A16(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	access := filepath.Join(g.dir, "access.log")
	text := strings.Replace(g.caddyfile(alice+"server a /mcp http://127.0.0.1:1/mcp"), "bind 127.0.0.1", "bind 127.0.0.1\nlog {\noutput file "+access+"\n}", 1)
	g.load(strings.Replace(text, "level DEBUG", "level INFO", 1))
	for _, path := range []string{"/api/oauth/callback", "/oauth/connect/" + url.PathEscape(secretText), "/oauth/account"} {
		g.callWithSecrets("GET", path, "foreign.example")
	}
	status(t, g.call("GET", "/oauth/account", ""), http.StatusOK)
	g.wantNoSecretOf("secret-canary")
}

func (g *instance) wantNoSecretOf(secret string) {
	g.t.Helper()
	if log := g.log(); strings.Contains(log, secret) {
		g.t.Errorf("the log has a secret:\n%s", log)
	}
}

// A log at level DEBUG that would record secrets is warned of.
func TestDebugLogWarning_A16(t *testing.T) {
	const warning = "a log at level DEBUG records URLs"
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	text := g.caddyfile(alice + "server a /mcp http://127.0.0.1:1/mcp")
	filter := strings.TrimSpace(strings.Replace(exampleFilter(t), "format filter {", "format filter {\nwrap json", 1)) + "\n"
	for name, test := range map[string]struct {
		text string
		want bool
	}{
		"DEBUG":           {text, true},
		"INFO":            {strings.Replace(text, "level DEBUG", "level INFO", 1), false},
		"DEBUG, filtered": {strings.Replace(text, "format json\n", filter, 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(g.log())
			g.load(test.text)
			if got := strings.Contains(g.log()[before:], warning); got != test.want {
				t.Errorf("warned: %v, want %v", got, test.want)
			}
		})
	}
}
