package access_test

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
)

// Whatever a server does with a URI before it uses it, in whatever order, a rule that
// denies what it then uses denies the URI.
func TestURIsInOtherSpellings(t *testing.T) {
	rules := rulesOf(t, access.Resource, "deny file:///docs/secret *.env file:///secret/* https://h/secret* https://p:443/x* https://*.intern:443/* https://any.*:443/* file:///b/folder/", "allow *")
	scopes := new(access.Rules)
	if err := scopes.Add(access.Resource, []access.Rule{{Scope: "admin", Of: []string{"file:///docs/secret", "*.env", "file:///secret/*", "https://h/secret*", "https://p:443/x*", "https://*.intern:443/*", "file:///b/folder/"}}}); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{
		"file:///docs/secret/", "file:///docs/secret/x/..", "file:///docs/secret//", "file:///docs/secret/.", "file:///docs/secret%2f", "file:///docs/secret%5C",
		"file:///app/.env/", "file:///app/.env/.", "file:///app/.env/x/..", "file:///b/folder", "file:///b/folder/.",
		"file://x/secret/a", "file://127.0.0.1/secret/a", "file://u@LOCALHOST/secret/a", "file://localhost./secret/a", `file:\\x\secret\a`, "file://*/secret/a",
		"https://h:443/secret", "https://h:/secret", "https://h:0443/secret", "https://u@h/secret", "https://u:p@h:443/secret", "https://h./secret", "https://h.:443/secret", "https://H/secret",
		"https://p/x", "https://p:443/x", "https://a.intern/x", "https://a.intern.:443/x",
		"file:///x/．．/secret/a", "file:///x/%EF%BC%8E%EF%BC%8E/secret/a", "file:///x／..／secret／a", "file:///x/％2e％2e/secret/a", "file:///docs/secret？x",
		// Steps in another order.
		"file:///a%2fb/../docs/secret", "file:///a%2fb/%2e%2e/docs/%73ecret", "file:///a%5Cb/../docs/secret", `file:///a\b/../docs/secret`, "file:///docs/x//../secret", "file:///docs/x//../../secret",
		"file:///docs/secret%3Fx", "file:///docs/secret%253Fx", "file:///a?/../docs/secret", "file:///docs/secret%00.txt", "file:///docs/se%FFcret",
		"file:///docs/secret.", "file:///docs/secret%20.", "file:///docs/secret::$DATA", "file:///docs./secret", "file:///docs/secret;v=1", "file:///docs;a/secret",
	} {
		if d := rules.Decide(alice, resource(uri)); d.Allowed {
			t.Errorf("%s is allowed by %v", uri, d.Rule)
		}
		if needs := scopes.Scopes(access.Resource, uri); len(needs.Own) != 1 {
			t.Errorf("%s needs %+v, want the scope admin", uri, needs)
		}
	}
	for _, uri := range []string{
		"file:///docs/secrets", "file:///docs/secretary.", "file:///docs/a b/", "file:///secret", "https://h:8443/secret", "https://h/public?next=/secret", "https://x/secret",
		"https://p:8443/x", "https://any.x:8443/x", "https://a.intern:8443/x", "file:///docs/a+b;c$d", "file://x/public/a", "https://u@h/public", "secret", "file:///b/folder2",
	} {
		if d := rules.Decide(alice, resource(uri)); !d.Allowed {
			t.Errorf("%s is denied by %v", uri, d.Rule)
		}
	}
}

// A host is the same in all spellings that browsers know.
func TestHostsInOtherSpellings(t *testing.T) {
	rules := rulesOf(t, access.Resource, "deny https://127.0.0.1/* https://münchen.de/* https://xn--kln-sna.de/x http://[::1]:8080/* https://0x7f.0.0.2/*", "allow *")
	for uri, allowed := range map[string]bool{
		"https://127.0.0.1/a": false, "https://2130706433/a": false, "https://0x7f.1/a": false, "https://127.1/a": false, "https://017700000001:443/a": false,
		"https://u@127.1/a": false, "https://%31%32%37.1/a": false, "https://１２７.0.0.1/a": false, "https://127.0.0.1./a": false, "HTTPS://0X7F.1/a": false,
		"https://127.0.0.2/a": false, "https://2130706434/a": false,
		"https://münchen.de/a": false, "https://xn--mnchen-3ya.de/a": false, "https://MÜNCHEN.de/a": false, "https://XN--mnchen-3ya.de/a": false, "https://m%C3%BCnchen.de/a": false,
		"https://mu\u0308nchen.de/a": false, "https://köln.de/x": false,
		"http://[::1]:8080/a": false, "http://[0:0:0:0:0:0:0:1]:8080/a": false, "http://[::1]/a": true,
		"https://127.0.0.3/a": true, "https://2130706435/a": true, "https://256.1.1.1/a": true, "https://köln.de/y": true, "db://2130706433/a": true,
		"https://3com/a": true, "https://host-1/a": true,
	} {
		if d := rules.Decide(alice, resource(uri)); d.Allowed != allowed {
			t.Errorf("%s: got %t by %v, want %t", uri, d.Allowed, d.Rule, allowed)
		}
	}
	rules = rulesOf(t, access.Resource, "allow https://10.0.0.1/* https://münchen.de/*")
	for uri, allowed := range map[string]bool{
		"https://10.0.0.1/a": true, "https://münchen.de/a": true, "https://10.0.0.1@evil/a": false, "https://10.0.0.2/a": false,
	} {
		if d := rules.Decide(alice, resource(uri)); d.Allowed != allowed {
			t.Errorf("%s: got %t by %v, want %t", uri, d.Allowed, d.Rule, allowed)
		}
	}
}

// A URI is allowed only if it is so in each way to read it.
func TestAllowedURIs(t *testing.T) {
	rules := rulesOf(t, access.Resource, "allow file:///docs/* https://h* https://u@k/* file://share/Docs/* x://q?a=* note:///a;b+c. file:///odd/../x/")
	for uri, want := range map[string]bool{
		"file:///docs/": true, "file:///docs/a b%20c?x#y": true, "file:///docs/a/../b": true, "file:///docs/v1./x": true, "file:///docs/Ünï%20": true,
		"file:///docs/．．/etc/passwd": false, "file:///docs/%EF%BC%8E%EF%BC%8E/etc/passwd": false, "file:///docs/a%2f../../etc": false, "file:///docs/..%00/x": false,
		"file:///docs/.%FF./etc": false, "file:///docs//../../etc": false, "file:///docs/a%2fb/../../../etc": false, "file:///docs/x%5C../../etc": false,
		"https://h/x": true, "https://host/x": true, "https://h@evil/x": false, "https://h:443/x": true, "https://u@k/x": true,
		"file://share/Docs/a": true, "file://share/Docs/../docs/a": false, "file://share/Docs/a%20b": true,
		"x://q?a=1": true, "note:///a;b+c.": true, "file:///odd/../x/": true,
		"file:///docs/" + strings.Repeat("%25", 1) + strings.Repeat("25", 200): false, // in more ways than anybody means
	} {
		if d := rules.Decide(alice, resource(uri)); d.Allowed != want {
			t.Errorf("%s: got %t, want %t", uri, d.Allowed, want)
		}
	}
}

// BenchmarkURIs is what it costs to judge a URI that can be read in several ways.
func BenchmarkURIs(b *testing.B) {
	rules := rulesOf(b, access.Resource, "deny file:///docs/secret* *.env", "allow file:///docs/*")
	for name, uri := range map[string]string{
		"clean": "file:///docs/a.md", "number": "https://2130706433/a", "address": "https://10.0.0.1/a", "folder": "file:///docs/a/", "blanks": "file:///docs/My%20File.md",
		"hostile":      "file:///docs/" + strings.Repeat("%2541/..%5C;＋.%00", 100),
		"hostile host": "https://" + strings.Repeat("%31.Ü", 120) + "/a",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rules.Decide(dana, resource(uri))
			}
		})
	}
}
