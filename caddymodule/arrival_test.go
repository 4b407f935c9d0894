package caddymodule

import (
	"strings"
	"testing"
)

// A place among the routes where requests never come, or come with another
// path, is refused; any other is not.
func TestPlaceOfTheHandler(t *testing.T) {
	const (
		handler   = "mcp_oauth {\npublic_url http://localhost:8099\n" + anybody + oneOfOur + "\n}"
		discovery = "requests for /.well-known/oauth-authorization-server do not get here, because of a matcher, or a rewrite such as handle_path or try_files; put mcp_oauth directly into the block of the site, and what rewrites its paths into a handle block of its own"
		mcp       = "requests for /mcp do not get here, because of a matcher, or a rewrite such as handle_path or try_files; put mcp_oauth directly into the block of the site, and what rewrites its paths into a handle block of its own"
		host      = "public_url: requests for the host localhost do not get here; give the site this address, or public_url that of the site"
	)
	for name, tt := range map[string]struct{ site, lines, want string }{
		"in the site":          {"http://localhost:8099", handler, ""},
		"in a route":           {"http://localhost:8099", "route {\n" + handler + "\n}", ""},
		"in a catch-all":       {"http://localhost:8099", "handle {\n" + handler + "\n}", ""},
		"in another address":   {"http://127.0.0.1:8099", handler, host},
		"in one of two":        {"http://127.0.0.1:8099, http://localhost:8099", handler, ""},
		"in another server":    {"http://localhost:8099, http://other.lan:8098", handler, ""},
		"in no server":         {"http://127.0.0.1:8099, http://other.lan:8098", handler, host},
		"in any host":          {"http://:8099", handler, ""},
		"in a wildcard":        {"http://*.example.com:8099", handler, host},
		"path of the server":   {"http://localhost:8099", "handle /mcp* {\n" + handler + "\n}", discovery},
		"handle_path":          {"http://localhost:8099", "handle_path /mcp* {\n" + handler + "\n}", discovery},
		"all that is needed":   {"http://localhost:8099", "@oauth path /mcp* /oauth/* /api/oauth/* /.well-known/*\nhandle @oauth {\n" + handler + "\n}", ""},
		"without discovery":    {"http://localhost:8099", "@oauth path /mcp* /oauth/* /api/oauth/*\nhandle @oauth {\n" + handler + "\n}", discovery},
		"not the server":       {"http://localhost:8099", "@other not path /mcp*\nhandle @other {\n" + handler + "\n}", mcp},
		"all but another path": {"http://localhost:8099", "@other not path /static/*\nhandle @other {\n" + handler + "\n}", ""},
		"only from a network":  {"http://localhost:8099", "@lan remote_ip 10.0.0.0/8\nhandle @lan {\n" + handler + "\n}", ""},
		"only with a header":   {"http://localhost:8099", "@h header X-Env prod\nhandle @h {\n" + handler + "\n}", ""},
		"prefix taken off":     {"http://localhost:8099", "uri strip_prefix /mcp\n" + handler, mcp},
		"other prefix":         {"http://localhost:8099", "uri strip_prefix /app\n" + handler, ""},
		"rewritten":            {"http://localhost:8099", "rewrite /mcp /index.html\n" + handler, mcp},
		"rewritten to it":      {"http://localhost:8099", "rewrite /old /mcp\n" + handler, ""},
		"behind a blocklist":   {"http://localhost:8099", "@bad remote_ip 10.0.0.0/8\nhandle @bad {\nabort\n}\nhandle {\n" + handler + "\n}", ""},
		"beside WebSockets":    {"http://localhost:8099", "@ws header Connection *Upgrade*\nhandle @ws {\nrespond x\n}\nhandle {\n" + handler + "\n}", ""},
		"beside another path":  {"http://localhost:8099", "handle /app* {\nrespond x\n}\nhandle {\n" + handler + "\n}", ""},
		"behind its own path":  {"http://localhost:8099", "handle /mcp {\nrespond x\n}\nhandle {\n" + handler + "\n}", mcp},
		"not for some of it":   {"http://localhost:8099", "@m not {\npath /mcp\nmethod PUT\n}\nhandle @m {\n" + handler + "\n}", ""},
		"others not for it":    {"http://localhost:8099", "@m not {\npath /static/*\nmethod PUT\n}\nhandle @m {\nrespond x\n}\nhandle {\n" + handler + "\n}", discovery},
		"some rewritten":       {"http://localhost:8099", "@bot header User-Agent *bot*\nrewrite @bot /bot.html\n" + handler, ""},
		"files without ending": {"http://localhost:8099", "try_files {path} {path}.html\n" + handler, ""},
		"one page for all":     {"http://localhost:8099", "try_files {path} /index.html\n" + handler, discovery},
		"while maintained":     {"http://localhost:8099", "@off file /off\nhandle @off {\nrespond x\n}\nhandle {\n" + handler + "\n}", ""},
		"shared by two":        {"http://localhost:8099", "handle /mcp* {\n" + handler + "\n}\nhandle {\n" + handler + "\n}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := ours(loadable(t, "{\nadmin off\n}\n"+tt.site+" {\n"+tt.lines+"\n}\n"))
			got, _, _ = strings.Cut(got, ", at Caddyfile:")
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// Where no other handler authenticates, identity caddy lets nobody in.
func TestNobodyAuthenticates(t *testing.T) {
	const warning = "nobody can sign in with identity caddy"
	const forward = "forward_auth 127.0.0.1:1 {\nuri /\n}"
	lines := "identity caddy\n" + alice + oneOfOur
	byHeader := "identity caddy {\nuser {rp.header.Remote-User}\n}\n" + alice + oneOfOur
	for name, tt := range map[string]struct {
		lines, front string
		want         bool
	}{
		"alone":               {lines, "", true},
		"behind basic_auth":   {lines, "basic_auth /oauth/* {\nbob $2a$14$DApveeDRDgFbL4AVtkfOTem0yW79AwzCGJ9TvvuTNmeqRASiQfY5C\n}", false},
		"behind forward_auth": {byHeader, forward, false},
		"by its header alone": {byHeader, "", true},
		"not set by it":       {lines, forward, true},
		"another identity":    {alice + oneOfOur, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, alice+oneOfOur)
			g.load(strings.Replace(g.caddyfile(tt.lines), "bind 127.0.0.1", "bind 127.0.0.1\n"+tt.front, 1))
			logged := g.log()
			if got := strings.Contains(logged, warning); got != tt.want {
				t.Errorf("warned: %v", got)
			}
			if got := strings.Contains(logged, "forward_auth needs `user {rp.header.Remote-User}`"); got != (tt.lines == lines && tt.front == forward) {
				t.Errorf("told to name the header: %v", got)
			}
		})
	}
}

// Over http, a site's tokens travel in clear.
func TestSiteOnBothSchemes(t *testing.T) {
	const both = "the site answers on http://mcp.example.com too, where tokens travel in clear; remove that address: Caddy leads http to https by itself, at Caddyfile:2"
	for addresses, want := range map[string]string{
		"http://mcp.example.com, https://mcp.example.com": both,
		"mcp.example.com, mcp.example.com:80":             both,
		"http://mcp.example.com":                          "", // behind a proxy that ends TLS
		"mcp.example.com, mcp.example.com:8443":           "",
		"mcp.example.com, http://mcp.example.com:8080":    "", // both
	} {
		err := loadable(t, addresses+" {\nmcp_oauth {\npublic_url https://mcp.example.com\n"+anybody+oneOfOur+"\n}\n}\n")
		if got := ours(err); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", addresses, got, want)
		}
	}
}
