package oauth

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var testSchemes = []string{"cursor", "com.example.app"}

func TestRedirectURIRegistrable(t *testing.T) {
	for id, uris := range map[string][]string{
		"accepted": {
			"https://c.example/cb", "https://c.example", "https://c.example/", "https://c.example:8443/cb?x=1&y=%20",
			"https://xn--clude-2ve.ai/cb", "https://192.0.2.1/cb", "https://[2001:db8::1]:8443/cb", "https://c.example/a.b/..c/...",
			"https://chatgpt.com/connector_platform_oauth_redirect", "https://claude.ai/api/mcp/auth_callback",
			"http://127.0.0.1/cb", "http://127.0.0.1:33418/", "http://localhost:7777/oauth/callback", "http://localhost/callback",
			"https://c.example/code?states=1&x=code", "http://[::1]:1/cb", "http://localhost", "http://127.0.0.1:5000?x=1",
			"cursor://anysphere.cursor-mcp/oauth/callback", "com.example.app:/cb",
		},
		"A04 dot segments": {
			"https://c.example/a/../cb", "https://c.example/a/%2e%2e/cb", "https://c.example/a/%2E./cb", "https://c.example/./cb",
			"https://c.example/a/..%2fcb", "https://c.example/a/..%5ccb", "https://c.example/..", "http://127.0.0.1/a/../cb",
			"cursor://host/../cb", "com.example.app:/../cb",
		},
		"A05 dangerous scheme": {
			"javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "intent://x#Intent;end",
			"blob:https://c.example/1", "about:blank", "ftp://c.example/cb", "ws://c.example/cb", "vscode://not.listed/cb", "Cursor://x/cb", "HTTPS://c.example/cb",
		},
		"A06 http beyond loopback": {
			"http://c.example/cb", "http://localhost.evil/cb", "http://127.1/cb", "http://0.0.0.0/cb", "http://[::ffff:127.0.0.1]/cb",
			"http://127.0.0.2/cb", "http://127.0.0.1.evil/cb", "http://0x7f.0.0.1/cb", "http://2130706433/cb", "http://[::]/cb",
			"http://LOCALHOST/cb", "http://localhost./cb", "http://127.0.0.1@evil.example/cb", "http://localhost:80@evil.example/cb",
			"http://[0:0:0:0:0:0:0:1]/cb", "http:///cb", "http:/cb",
		},
		"A08 fragment, wildcard, user information": {
			"https://c.example/cb#", "https://c.example/cb#x", "https://*.c.example/cb", "https://c.example/*", "https://u@c.example/cb",
			"https://u:p@c.example/cb", "https://@c.example/cb", "cursor://u@host/cb", "http://127.0.0.1/cb#x",
		},
		"A09 control and other bytes": {
			"https://c.example/\r\nX: y", "https://c.example/ cb", "https://c.example/\x7f", "https://c.example/\x00", "https://c.example/\u00e9",
			"https://cl\u0430ude.ai/cb", `https://c.example\@evil.example/cb`, "https://c.example/<b>", `https://c.example/"`, "https://c.example/{x}",
			"https://c.example/%0d%0aX", "https://c.example/%00", "https://c.example/?x=%0a", "https://c.example/%zz", "https://c.example/%",
		},
		"AS47 answers already": {
			"https://c.example/cb?code=x", "https://c.example/cb?x=1&state=", "https://c.example/cb?iss", "https://c.example/cb?c%6fde=x",
			"http://127.0.0.1/cb?x=1;error=y", "cursor://host/cb?error_description=y",
		},
		"malformed": {
			"", "c.example/cb", "/cb", "//c.example/cb", "https:", "https:/c.example/cb", "https:c.example", "https://", "https:///cb", "https://?x",
			"https://c.example:/cb", "https://c.example:0/cb", "https://c.example:65536/cb", "https://c.example:080/cb", "https://c.example:x/cb",
			"https://.example/cb", "https://c..example/cb", "https://c.example./cb", "https://[::1/cb", "https://::1/cb", "https://[fe80::1%25eth0]/cb",
			"https://[127.0.0.1]/cb", "https://c.exa%6dple/cb", "cursor:", "cursor://", "cursor:///cb", "cursor://[", "cursor://host:x/", ":", "http://127.0.0.1:/cb", "http://127.0.0.1:99999/cb",
		},
		"G09 too long": {"https://c.example/" + strings.Repeat("a", maxURILen)},
	} {
		t.Run(id, func(t *testing.T) {
			for _, uri := range uris {
				if got := RedirectURIRegistrable(uri, testSchemes); got != (id == "accepted") {
					t.Errorf("%q registrable = %v", uri, got)
				}
			}
		})
	}
}

// What well-known clients register, as they write it.
func TestKnownRedirectURIs(t *testing.T) {
	for _, uri := range []string{
		"cursor://anysphere.cursor-mcp/oauth/callback", "warp://mcp/oauth2callback", "warp://mcp/oauth2callback?server_id=6ba7b810",
		"raycast://oauth?package_name=mcp_server_x_(dev)", "com.raycast:/oauth?package_name=Extension", "claude://claude.ai/mcp-auth-callback/sdk",
		"vscode://vscode.github-authentication/did-authenticate", "mcpjam://oauth/callback", "grok://oauth/callback", "hopperai://oauth/callback",
	} {
		if !RedirectURIRegistrable(uri, KnownRedirectSchemes) {
			t.Errorf("%s is refused", uri)
		}
	}
	for _, scheme := range KnownRedirectSchemes {
		if err := CheckRedirectScheme(scheme); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

func TestCheckRedirectScheme_A05(t *testing.T) {
	for _, s := range []string{"cursor", "com.example.app", "vscode-insiders", "a1+b"} {
		if err := CheckRedirectScheme(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range append([]string{"", "1a", "Cursor", "a b", "a:", ".a", "ms-word", "ms-settings"}, neverRedirect...) {
		if CheckRedirectScheme(s) == nil {
			t.Errorf("%q accepted", s)
		}
		if RedirectURIRegistrable(s+"://host/cb", []string{s}) && s != "https" {
			t.Errorf("%q registrable because it was listed", s)
		}
	}
}

func TestRedirectURIAllowed(t *testing.T) {
	registered := []string{
		"https://c.example/cb", "http://127.0.0.1/cb", "http://localhost:3000/cb?a=1", "http://[::1]:8080/", "cursor://host/cb",
	}
	for id, uris := range map[string][]string{
		"allowed": {
			"https://c.example/cb", "http://127.0.0.1/cb", "http://127.0.0.1:5000/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb",
			"http://localhost/cb?a=1", "http://localhost:3000/cb?a=1", "http://localhost:9/cb?a=1", "http://[::1]/", "http://[::1]:9/", "cursor://host/cb",
		},
		"A02 not the same bytes": {
			"https://c.example/cb/", "https://c.example/CB", "https://C.example/cb", "https://c.example:443/cb", "https://c.example/cb?x",
			"https://c.example/cb?", "https://c.example/%63b", "https://evil-c.example/cb", "https://c.example.evil/cb", "https://c.example@evil/cb",
			`https://c.example\@evil/cb`, "https://c.example/cb#", "https://c.example/cb#x", "https://c.example//cb", "https://c.example/./cb",
			"https://c.example/x/../cb", "https://c.example/cb%20", "https://c.example/cb ", " https://c.example/cb", "HTTPS://c.example/cb",
			"http://c.example/cb", "https:c.example/cb", "//c.example/cb", "https://u@c.example/cb", "https://c.example/c", "https://c.example/cbb", "",
		},
		"A03 another path": {"https://c.example/other", "https://c.example/", "https://c.example"},
		"A07 more than the port of a loopback host": {
			"http://127.0.0.1:5000/other", "http://127.0.0.1:5000/cb/", "http://127.0.0.1:5000/cb?x=1", "http://127.0.0.1:5000", "http://localhost:5000/cb",
			"https://127.0.0.1:5000/cb", "http://127.0.0.2:5000/cb", "http://[::1]:5000/cb", "http://localhost:3000/cb", "http://localhost:3000/cb?a=2",
			"http://localhost:3000/cb?a=1&b", "http://127.0.0.1:0/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:65536/cb", "http://127.0.0.1:05000/cb",
			"http://127.0.0.1:+80/cb", "http://127.0.0.1:80@evil/cb", "http://127.0.0.1@evil/cb", "http://127.0.0.1.evil/cb", "http://127.0.0.1:5000/cb#x",
			"http://127.0.0.1:5000\\@evil/cb", "HTTP://127.0.0.1:5000/cb", "http://LOCALHOST:3000/cb?a=1", "http://[::1]:9", "cursor://host:80/cb",
		},
	} {
		t.Run(id, func(t *testing.T) {
			for _, uri := range uris {
				if got := RedirectURIAllowed(registered, uri); got != (id == "allowed") {
					t.Errorf("%q allowed = %v", uri, got)
				}
			}
		})
	}
}

// Claude Code's metadata document lists loopback redirects without a port and
// its listener has one.
func TestLoopbackPort_AS44(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.SampledFrom(loopbackHosts).Draw(t, "host")
		path := rapid.SampledFrom([]string{"", "/", "/callback", "/cb?x=1", "?x=1"}).Draw(t, "path")
		port := rapid.StringMatching(`(:([1-9][0-9]{0,3}))?`)
		registered := "http://" + host + port.Draw(t, "registered port") + path
		requested := "http://" + host + port.Draw(t, "requested port") + path
		if !RedirectURIRegistrable(registered, nil) || !RedirectURIAllowed([]string{registered}, requested) {
			t.Fatalf("%s does not allow %s", registered, requested)
		}
		other := rapid.SampledFrom(loopbackHosts).Draw(t, "other host")
		if u := "http://" + other + path; other != host && RedirectURIAllowed([]string{registered}, u) {
			t.Fatalf("%s allows %s", registered, u)
		}
	})
}

// Whatever may be registered is read by url.Parse, as by a browser, in the one
// way that its bytes suggest; and only itself, or a loopback sibling, is allowed.
func FuzzRedirect(f *testing.F) {
	for _, uri := range []string{
		"https://c.example/cb?x=1", "http://127.0.0.1:80/cb", "http://[::1]/", "cursor://host/cb", "https://c.example\\@evil/", "http://localhost:1@evil",
		"https://c.example/%2e%2e/", "com.example.app:/cb", "https://0//..0", "cursor://[",
	} {
		f.Add(uri, "http://localhost:9/cb")
	}
	f.Fuzz(func(t *testing.T, uri, requested string) {
		if !RedirectURIRegistrable(uri, testSchemes) {
			return
		}
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatalf("%q: %v", uri, err)
		}
		if u.User != nil || u.Fragment != "" || strings.Contains(uri, "#") || u.String() == "" {
			t.Fatalf("%q has more than a place", uri)
		}
		switch u.Scheme {
		case "https":
			if u.Hostname() == "" || u.Hostname() != strings.TrimSuffix(strings.TrimPrefix(hostOf(uri), "["), "]") {
				t.Fatalf("%q: host %q", uri, u.Hostname())
			}
		case "http":
			if h := u.Hostname(); h != "127.0.0.1" && h != "::1" && h != "localhost" {
				t.Fatalf("%q is http to %q", uri, h)
			}
		case "cursor", "com.example.app":
		default:
			t.Fatalf("scheme %q", u.Scheme)
		}
		for segment := range strings.SplitSeq(u.Path, "/") {
			if segment == "." || segment == ".." {
				t.Fatalf("%q has dot segments", uri)
			}
		}
		if !RedirectURIAllowed([]string{uri}, uri) {
			t.Fatalf("%q does not allow itself", uri)
		}
		if requested != uri && RedirectURIAllowed([]string{uri}, requested) {
			v, err := url.Parse(requested)
			if err != nil || v.Scheme != "http" || v.Hostname() != u.Hostname() || v.RequestURI() != u.RequestURI() {
				t.Fatalf("%q allows %q", uri, requested)
			}
		}
	})
}

// hostOf returns the host of an https URI by its bytes alone.
func hostOf(uri string) string {
	rest := strings.TrimPrefix(uri, "https://")
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndex(rest, ":"); i > strings.LastIndex(rest, "]") {
		rest = rest[:i]
	}
	return rest
}
