package caddymodule

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// besides returns a Caddyfile whose site has these lines beside the plugin's, or
// around it where %s stands for that, and these global options.
func (g *instance) besides(global, block, site string) string {
	before, _, _ := strings.Cut(g.caddyfile(""), "http://"+g.addr+" {")
	before = strings.Replace(before, "{\n", "{\n"+global+"\n", 1)
	before = strings.Replace(before, "level DEBUG", "", 1) // of which is warned
	if !strings.Contains(site, "%s") {
		site += "\n%s"
	}
	return fmt.Sprintf("%s\nhttp://%s {\nbind 127.0.0.1\n%s\n}\n", before, g.addr, strings.ReplaceAll(site, "%s", "mcp_oauth {\n"+block+"\n}"))
}

// complaints returns what a log says at WARN and above of a site, other than what
// happened there: a test may reach nobody.
func complaints(log string) []string {
	var found []string
	for line := range strings.Lines(log) {
		var entry struct{ Level, Logger, Msg, Event string }
		_ = json.Unmarshal([]byte(line), &entry) // else it has no level
		if (entry.Level == "warn" || entry.Level == "error") && entry.Logger == "http.handlers.mcp_oauth" && entry.Event == "" &&
			!strings.Contains(entry.Msg, "identity user_id does not verify") {
			found = append(found, entry.Level+": "+entry.Msg)
		}
	}
	return found
}

// What is around the plugin and makes sign-ins or calls impossible is refused; what
// may not be meant is told. What changes nothing for it is nothing.
func TestSelfCheck(t *testing.T) {
	const (
		virtual  = "identity user_id\nserver a /mcp http://127.0.0.1:1/mcp"
		byCaddy  = "identity caddy\nserver a /mcp http://127.0.0.1:1/mcp"
		password = " {\nbob $2a$14$DApveeDRDgFbL4AVtkfOTem0yW79AwzCGJ9TvvuTNmeqRASiQfY5C\n}"
		asked    = "forward_auth %p 127.0.0.1:1 {\nuri /\n}"
		pages    = "@pages path /oauth/* /api/oauth/per-user/consent/* /api/oauth/per-user/upstream/*\n"
		front    = "put it behind mcp_oauth, into a handle block of its own, or give it a matcher for other paths"
	)
	first := func(lines string) string { return "route {\n" + lines + "\n%s\n}" }
	for name, tt := range map[string]struct{ global, block, site, refused, warned string }{
		"alone":                   {},
		"a site of other things":  {site: "root /srv\nencode\nfile_server\nrespond /x y\nredir /old /new\nreverse_proxy /app 127.0.0.1:1"},
		"in handle blocks":        {site: "handle /app/* {\nrespond x\n}\nhandle {\n%s\n}"},
		"encode around":           {site: "encode zstd gzip"},
		"behind a blocklist":      {site: first("@bad remote_ip 10.0.0.0/8\nabort @bad")},
		"closed for bots":         {site: first("@bot header User-Agent *bot*\nrespond @bot 403")},
		"from one network":        {site: "@lan remote_ip 10.0.0.0/8\nhandle @lan {\n%s\n}"},
		"while maintained":        {site: first("@off file /no/such/file\nrespond @off 503")},
		"vars and tracing":        {site: "vars x y\ntracing {\nspan s\n}\nlog_append a b"},
		"their own preflights":    {site: first("@options method OPTIONS\nhandle @options {\nheader Access-Control-Allow-Origin *\nheader Access-Control-Allow-Headers *\nrespond 204\n}")},
		"headers of other things": {site: "header X-Frame-Options DENY\nheader -Server\nheader Strict-Transport-Security max-age=1"},
		"headers that we set too": {site: "header Content-Security-Policy \"default-src *\"\nheader Access-Control-Allow-Origin https://x.example"},
		"large bodies":            {site: "request_body {\nmax_size 10MB\n}"},
		"a long timeout":          {global: "servers {\ntimeouts {\nwrite 1h\n}\n}"},
		"sign-in by basic_auth":   {block: byCaddy, site: pages + "basic_auth @pages" + password},
		"sign-in by forward_auth": {block: "identity caddy {\nuser {rp.header.Remote-User}\n}\nserver a /mcp http://127.0.0.1:1/mcp", site: pages + strings.ReplaceAll(asked, "%p", "@pages")},
		"asked if not at home":    {site: "@out not remote_ip 127.0.0.0/8\nbasic_auth @out" + password},

		"respond in front": {site: first("respond /mcp x"), refused: "requests for /mcp, POST /mcp, DELETE /mcp and 1 more do not get to mcp_oauth: respond, redir or abort in front of it takes them; " + front},
		"respond to all":   {site: first("respond x"), refused: "do not get to mcp_oauth: respond, redir or abort in front of it takes them; " + front},
		"redir":            {site: first("redir /oauth/* https://other.example{uri}"), refused: "requests for /oauth/consent, /oauth/account do not get to mcp_oauth: respond, redir or abort"},
		"file_server":      {site: first("file_server /.well-known/*"), refused: "requests for /.well-known/oauth-authorization-server, /.well-known/openid-configuration, OPTIONS /.well-known/oauth-authorization-server and 3 more do not get to mcp_oauth: file_server in front of it takes them"},
		"reverse_proxy":    {site: first("reverse_proxy /mcp* 127.0.0.1:1"), refused: "reverse_proxy or php_fastcgi in front of it takes them"},
		"error":            {site: first("error /api/* 404"), refused: "error in front of it takes them"},
		"only GET":         {site: "@get method GET HEAD OPTIONS\nhandle @get {\n%s\n}", refused: "requests for POST /api/oauth/per-user/token, POST /token, POST /api/oauth/per-user/consent/submit and"},
		"no POST":          {site: first("@post method POST\nrespond @post 405"), refused: "requests for POST /api/oauth/per-user/token"},
		"status replaced":  {site: first("intercept {\n@ok status 200\nreplace_status @ok 418\n}"), refused: "another handler changes the status of the answer"},
		"body replaced":    {site: first("intercept {\n@ok status 200\nhandle_response @ok {\nrespond mine 200\n}\n}"), refused: "another handler changes the body of the answer, so it is not what the site said"},
		"posts elsewhere":  {site: "@post method POST\nhandle @post {\nheader X-A b\n}\nhandle {\n%s\n}", refused: "requests for POST /api/oauth/per-user/token, POST /token"},
		"host replaced":    {site: first("request_header Host other.example"), refused: "get to mcp_oauth with another Host; take what changes it"},
		"tokens removed":   {site: first("request_header -Authorization"), refused: "get to mcp_oauth with another Authorization header"},
		"basic_auth":       {site: "basic_auth" + password, refused: "need another sign-in first, by basic_auth or another authentication handler, which MCP clients cannot do; give it a matcher for the pages alone, as in examples/caddy-user.caddyfile"},
		"basic_auth, MCP":  {site: "basic_auth /mcp*" + password, refused: "requests for /mcp/.well-known/openid-configuration, /mcp, POST /mcp and 3 more need another sign-in first"},
		"for discovery":    {block: byCaddy, site: "basic_auth /.well-known/*" + password, refused: "requests for /.well-known/oauth-authorization-server"},
		"cookies removed":  {site: "header >Set-Cookie gone", refused: "another handler changes the header Set-Cookie of the answer"},
		"redirects":        {site: "header >Location /elsewhere", refused: "another handler changes the header Location of the answer"},

		"path alias taken":       {site: first("respond /token x"), warned: "warn: requests for POST /token do not get to mcp_oauth: respond"},
		"no preflights":          {site: first("@options method OPTIONS\nrespond @options 405"), warned: "warn: requests for OPTIONS /.well-known/oauth-authorization-server, OPTIONS /api/oauth/per-user/token, OPTIONS /mcp do not get to mcp_oauth"},
		"forward_auth":           {site: strings.ReplaceAll(asked, "%p", ""), warned: "are first shown to another server, by forward_auth; unless that lets through everybody"},
		"sign-in twice":          {site: "basic_auth /oauth/*" + password, warned: "warn: requests for /oauth/consent, /oauth/account need another sign-in first, by basic_auth"},
		"sign-in elsewhere":      {block: byCaddy, site: "basic_auth /admin/*" + password, warned: "error: people cannot sign in with identity caddy: what authenticates them, such as basic_auth or forward_auth, is not in front of /"},
		"challenge removed":      {site: "header -WWW-Authenticate", warned: "error: requests for /mcp, POST /mcp, POST /mcp/ are answered, but another handler changes the header WWW-Authenticate of the answer, so many clients do not learn where to sign in"},
		"their own policy":       {site: "header {\n-Server\nContent-Security-Policy \"default-src 'self'\"\n}", warned: "warn: requests for /oauth/account are answered, but another handler changes the header Content-Security-Policy of the answer, so pages may not work"},
		"CORS removed":           {site: "header -Access-Control-Allow-Origin", warned: "changes the header Access-Control-Allow-Origin"},
		"CORS doubled":           {site: "header {\n+Access-Control-Allow-Origin *\ndefer\n}", warned: "changes the header Access-Control-Allow-Origin"},
		"kept in caches":         {site: "header >Cache-Control max-age=60", warned: "changes the header Cache-Control of the answer, so secrets may be kept in caches"},
		"other type":             {site: "header >Content-Type text/plain", warned: "changes the header Content-Type"},
		"small bodies":           {site: "request_body {\nmax_size 100KB\n}", warned: "warn: calls with a larger body than request_body allows are refused"},
		"small bodies elsewhere": {site: "request_body /upload {\nmax_size 100KB\n}"},
		"write timeout":          {global: "servers {\ntimeouts {\nwrite 30s\n}\n}", warned: "warn: timeouts write 30s in the global option servers ends calls"},
		"read timeout":           {global: "servers {\ntimeouts {\nread_body 10s\n}\n}"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.block == "" {
				tt.block = virtual
			}
			g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
			before := len(g.log())
			err := loadCaddyfile(g.besides(tt.global, tt.block, tt.site))
			if got := ours(err); (tt.refused == "") != (err == nil) || !strings.Contains(got, tt.refused) {
				t.Errorf("refused: %v\nwant: %s", err, tt.refused)
			}
			got := complaints(g.log()[before:])
			switch {
			case err != nil || tt.warned == "" && len(got) == 0:
			case len(got) != 1 || !strings.Contains(got[0], tt.warned) || tt.warned == "":
				t.Errorf("complaints:\n%s\nwant:\n%s", strings.Join(got, "\n"), tt.warned)
			}
			if ready := strings.Contains(g.log()[before:], `"MCP server ready"`); ready != (err == nil) {
				t.Errorf("ready: %t, refused: %v", ready, err)
			}
			if err != nil { // the one before serves on
				status(t, g.call("GET", "/.well-known/oauth-authorization-server", ""), http.StatusOK)
			}
		})
	}
}

// The check is no traffic: no access log, no metrics, no limits.
func TestSelfCheckIsNoTraffic(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	text := g.besides("metrics\nservers {\nmetrics\n}", alice+"server a /mcp http://127.0.0.1:1/mcp", "log\nmetrics /metrics\n%s")
	before := len(g.log())
	if err := loadCaddyfile(text); err != nil {
		t.Fatal(err)
	}
	logged := g.log()[before:]
	if !strings.Contains(logged, `"site ready"`) || strings.Contains(logged, "http.log.access") {
		t.Errorf("log:\n%s", logged)
	}
	for line := range strings.Lines(body(t, g.call("GET", "/metrics", ""))) {
		if strings.HasPrefix(line, "caddy_http_requests_total") && !strings.HasSuffix(strings.TrimSpace(line), " 1") {
			t.Errorf("counted: %s", line)
		}
		if (strings.HasPrefix(line, "caddy_mcp_oauth_gate_decisions_total") || strings.HasPrefix(line, "caddy_mcp_oauth_events_total")) &&
			strings.Contains(line, g.url) && !strings.HasSuffix(strings.TrimSpace(line), " 0") && !strings.Contains(line, "client_document") {
			t.Errorf("counted: %s", line)
		}
	}
}

// What a site promises at https, it must not take in clear, unless a proxy in front
// is named.
func TestSelfCheckOfPlainHTTP(t *testing.T) {
	const proxies = "servers {\ntrusted_proxies static 10.0.0.0/8\n}"
	for name, tt := range map[string]struct {
		global, public string
		want           bool
	}{
		"https, http":              {"", "https://mcp.example.com", true},
		"behind a proxy":           {proxies, "https://mcp.example.com", false},
		"http on this machine":     {"", "", false},
		"https by name, elsewhere": {"servers {\ntrusted_proxies_unix\n}", "https://mcp.example.com", false},
	} {
		t.Run(name, func(t *testing.T) {
			lines := alice + "server a /mcp http://127.0.0.1:1/mcp\n"
			if tt.public != "" {
				lines += "public_url " + tt.public
			}
			g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
			before := len(g.log())
			text := g.caddyfile(lines)
			if err := loadCaddyfile(strings.Replace(text, "{\n", "{\n"+tt.global+"\n", 1)); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(g.log()[before:], "public_url is https, but this site takes plain http"); got != tt.want {
				t.Errorf("warned: %t, want %t", got, tt.want)
			}
		})
	}
}

// Of a site with several addresses, the one counts where it works.
func TestSelfCheckOfSeveralAddresses(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	other := freeAddr(t)
	block := "mcp_oauth {\npublic_url " + g.url + "\n" + alice + "server a /mcp http://127.0.0.1:1/mcp\n}"
	text := func(atOther, atOwn string) string {
		global, _, _ := strings.Cut(g.caddyfile(""), "http://"+g.addr+" {")
		return fmt.Sprintf("%s\nhttp://%s {\nroute {\n%s\n%s\n}\n}\nhttp://%s {\nroute {\n%s\n%s\n}\n}\n",
			strings.Replace(global, "level DEBUG", "", 1), other, atOther, block, g.addr, atOwn, block)
	}
	before := len(g.log())
	if err := loadCaddyfile(text("respond /mcp x", "")); err != nil {
		t.Errorf("refused for an address that is not its own: %v", err)
	}
	logged := g.log()[before:]
	if got := complaints(logged); len(got) > 0 {
		t.Errorf("complains: %q", got)
	}
	if n := strings.Count(logged, `"site ready"`); n != 1 {
		t.Errorf("ready %d times", n)
	}
	if err := loadCaddyfile(text("respond /mcp x", "respond /mcp x")); err == nil || !strings.Contains(err.Error(), "respond at Caddyfile:") {
		t.Errorf("got %v, want it refused with the line", err)
	}
}

// A Caddy that is its own proxy in front must leave the Host as it is.
func TestSelfCheckOfItsOwnProxy(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	front, elsewhere := freeAddr(t), freeAddr(t)
	_, port, _ := net.SplitHostPort(g.addr)
	for name, tt := range map[string]struct {
		to, lines string
		want      bool
	}{
		"as it came":          {g.addr, "", false},
		"as it came, set":     {g.addr, "header_up Host {host}", false},
		"another header":      {g.addr, "header_up X-Host other", false},
		"the site's":          {g.addr, "header_up Host mcp.example.com:80", false},
		"another":             {g.addr, "header_up Host other.example", true},
		"the proxied address": {"localhost:" + port, "header_up Host {upstream_hostport}", true},
		"to another server":   {elsewhere, "header_up Host other.example", false},
	} {
		before := len(g.log())
		text := strings.Replace(g.caddyfile(alice+"server a /mcp http://127.0.0.1:1/mcp\npublic_url https://mcp.example.com"), "level DEBUG", "", 1) +
			fmt.Sprintf("http://%s {\nreverse_proxy %s {\n%s\n}\n}\n", front, tt.to, tt.lines)
		if err := loadCaddyfile(text); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(g.log()[before:], "this site refuses them with 421; remove header_up Host"); got != tt.want {
			t.Errorf("%s: warned: %t, want %t", name, got, tt.want)
		}
	}
}

// A process does not start with what cannot work, and where the store comes late,
// the log says so instead of that the site is ready.
func TestSelfCheckOfLateStore(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	broken := g.besides("", alice+"server a /mcp http://127.0.0.1:1/mcp", "route {\nrespond /mcp x\n%s\n}")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := loadCaddyfile(broken); err == nil || !strings.Contains(err.Error(), "cannot work: requests for /mcp") {
		t.Errorf("started: %v", err)
	}
	if err := os.Rename(g.db(), g.db()+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.db(), []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := loadCaddyfile(broken); err != nil {
		t.Fatal(err)
	}
	before := len(g.log())
	if err := os.Rename(g.db()+".away", g.db()); err != nil {
		t.Fatal(err)
	}
	oauthtest.Eventually(t, "the log does not say what is wrong", func() bool {
		return slices.ContainsFunc(complaints(g.log()[before:]), func(c string) bool { return strings.HasPrefix(c, "error: requests for /mcp") })
	})
	if logged := g.log()[before:]; strings.Contains(logged, `"site ready"`) {
		t.Errorf("log:\n%s", logged)
	}
}
