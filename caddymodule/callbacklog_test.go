package caddymodule

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// visited is a browser that writes down where it was, and says where it comes
// from.
type visited struct {
	http.RoundTripper
	urls []*url.URL
}

func (v *visited) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(v.urls) > 0 {
		r = r.Clone(r.Context())
		r.Header.Set("Referer", v.urls[len(v.urls)-1].String())
	}
	v.urls = append(v.urls, r.URL)
	return v.RoundTripper.RoundTrip(r)
}

// A16: what providers put into the URL of the callback, and the links on which
// people and operators connect, are in no log, with the filter of the example.
func TestCallbackIsNotLogged_A16(t *testing.T) {
	notion := newService(t)
	lines := people("alice") + notion.server("optional") +
		"server shared /shared " + notion.URL + "/mcp {\nauth oauth {\nresource " + notion.URL + "/mcp\n}\n}\n"
	g := newGateway(t, lines)
	access, addr := filepath.Join(g.dir, "access.log"), freeAddr(t)
	text := strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1)
	g.load(strings.Replace(text, "bind 127.0.0.1", "bind 127.0.0.1\nlog {\noutput file "+access+exampleFilter(t)+"}", 1))

	alice := g.person("alice")
	browser := &visited{RoundTripper: alice.browser.Client.Transport}
	alice.browser.Client.Transport = browser
	alice.connect("notion")                            // from the account page
	alice.disconnect("notion")                         //
	alice.follow(status(t, alice.call(toolCall), 200)) // from the link of a call
	started := admin(t, addr, "POST", "/mcp_oauth/connections/shared/start", 200)
	alice.follow(started)                                                                // from the link of an operator
	for _, path := range []string{"/api/oauth/callback", "/api/oauth/callback/notion"} { // and what nobody waits for
		alice.visit(g.url + path + "?code=canary-code/1?2&state=canary-state&iss=" + url.QueryEscape(notion.provider.URL))
	}

	secrets, callbacks := map[string]bool{}, 0
	for _, u := range browser.urls {
		if ticket, found := strings.CutPrefix(u.Path, "/oauth/connect/"); found {
			secrets[ticket] = true
		}
		if strings.HasPrefix(u.Path, "/api/oauth/callback") {
			callbacks++
			secrets[u.Query().Get("code")], secrets[u.Query().Get("state")] = true, true
		}
	}
	if callbacks != 5 || len(secrets) != 3*2+2+2 {
		t.Fatalf("%d callbacks, %d secrets: %v", callbacks, len(secrets), secrets)
	}
	var logged []byte
	for { // Caddy logs a request after its answer was sent
		var err error
		if logged, err = os.ReadFile(access); err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(logged), `"uri":"/api/oauth/callback`) == callbacks {
			break
		}
		runtime.Gosched()
	}
	if !strings.Contains(string(logged), "/oauth/connect/REDACTED") {
		t.Fatalf("the access log has no filtered link:\n%s", logged)
	}
	for where, haystack := range map[string]string{"access log": string(logged), "log": g.log()} {
		for secret := range secrets {
			if strings.Contains(haystack, secret) || strings.Contains(haystack, url.QueryEscape(secret)) {
				t.Errorf("%s: has %s", where, secret)
			}
		}
	}
}
