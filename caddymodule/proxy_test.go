package caddymodule

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`

// E08, E09, E10, E11: what a client sends about itself never reaches the
// upstream, and what the operator configured always does.
func TestUpstreamSeesOnlyTheGatewaysWord(t *testing.T) {
	t.Setenv("UPSTREAM", "Bearer upstream-credential")
	for name, auth := range map[string]string{
		"E08 auth none":    "",
		"E08 auth headers": "auth headers {\nAuthorization {env.UPSTREAM}\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			up := oauthtest.Serve(t, nil)
			g := newGateway(t, alice+"server a /mcp "+up.URL+"/inner/mcp {\n"+auth+
				"identity_header X-MCP-User user\nidentity_header X-MCP-Client client\npass_headers X-Harmless\n}")
			got := g.raw("POST /mcp HTTP/1.1", "Host: "+g.addr, "Authorization: Bearer "+aliceKey,
				"Connection: close, Authorization, X-MCP-User, X-Harmless", // E11
				"Cookie: a=canary", "DPoP: canary", "Proxy-Authorization: Basic canary", "Origin: "+g.url,
				"Sec-Fetch-Site: same-origin",
				"X-MCP-User: canary", "X-MCP-Client: canary", // E09: alice's key has no client
				"X-Forwarded-User: canary", "Remote-User: canary", "X-Auth-Request-Email: canary", // others believe these
				"Forwarded: for=canary", "X-Real-IP: canary", "X-Forwarded-Prefix: /canary",
				"X_MCP_User: canary", "X.MCP.User: canary", // E10
				"Mcp-Protocol-Version: 2025-11-25", "Mcp-Param-X: kept", "Last-Event-ID: 7", "X-Harmless: kept",
				"Content-Type: application/json", "Content-Length: 2", "", "{}")
			if !strings.Contains(got, "200") {
				t.Fatalf("answer %q", got)
			}
			req := up.Last(t)
			var all bytes.Buffer
			_ = req.Header.Write(&all)
			if strings.Contains(all.String(), "canary") || strings.Contains(all.String(), aliceKey) {
				t.Errorf("the upstream got\n%s", &all)
			}
			for header, want := range map[string]string{
				"X-Mcp-User": "alice", "X-Mcp-Client": "", "Origin": "", "Sec-Fetch-Site": "",
				"Mcp-Protocol-Version": "2025-11-25", "Mcp-Param-X": "kept", "Last-Event-Id": "7", "X-Harmless": "kept",
				"Authorization": map[bool]string{true: "Bearer upstream-credential"}[auth != ""],
			} {
				if got := strings.Join(req.Header.Values(header), "|"); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
			if req.URL.Path != "/inner/mcp" || "http://"+req.Host != up.URL {
				t.Errorf("asked for %s at %s", req.URL.Path, req.Host)
			}
			if up.AllRequests()[0].Body != "{}" {
				t.Errorf("body %q", up.AllRequests()[0].Body)
			}
		})
	}
}

// E10: other spellings of our names do not pass either, where the operator lets
// such names in.
func TestHeaderVariantsLetIn_E10(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := alice + "server a /mcp " + up.URL + " {\nidentity_header X-MCP-User user\npass_headers X_harmless X.harmless X_MCP_*\n}"
	g := newGateway(t, lines)
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin off\nservers {\n"+
		"expected_underscore_headers X_MCP_User X_harmless Proxy_Authorization\nexpected_dot_headers X.MCP.User X.harmless\n}", 1))
	got := g.raw("POST /mcp HTTP/1.1", "Host: "+g.addr, "Authorization: Bearer "+aliceKey, "Connection: close",
		"X_MCP_User: canary", "X.MCP.User: canary", "Proxy_Authorization: canary", "X_harmless: kept", "X.harmless: kept",
		"Content-Length: 2", "", "{}")
	h := up.Last(t).Header
	if !strings.Contains(got, " 200 ") || h.Get("X_harmless") != "kept" || h.Get("X.harmless") != "kept" {
		t.Fatalf("answer %q; Caddy let nothing in: %v", got, h)
	}
	var all bytes.Buffer
	_ = h.Write(&all)
	if strings.Contains(all.String(), "canary") || h.Get("X-Mcp-User") != "alice" {
		t.Errorf("the upstream got\n%s", &all)
	}
}

// E13: the path decides exactly; nothing else does.
func TestPathConfusion_E13(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	for _, path := range []string{"//mcp", "/mcp%2f..", "/MCP", "/mcp;x", "/mcp/x", "/./mcp", "/mcp%00", "/x/../mcp", "/mcp#/public"} {
		g.raw("POST "+path+" HTTP/1.1", "Host: "+g.addr, "Connection: close", "X-Forwarded-Uri: /public",
			"X-Original-Url: /public", "User-Agent: kube-probe/1.0", "Content-Length: 0")
	}
	for _, path := range []string{"/mcp", "/mcp/", "/%6dcp", "/mcp?x=/public"} {
		got := g.raw("POST "+path+" HTTP/1.1", "Host: "+g.addr, "Connection: close", "X-Forwarded-Uri: /public", "Content-Length: 0")
		if !strings.Contains(got, " 401 ") && !strings.Contains(got, " 400 ") {
			t.Errorf("%s: %s", path, got)
		}
	}
	if n := up.Hits(); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	status(t, g.call("POST", "/mcp/", initialize), http.StatusOK)
}

// E15: no method and no upgrade passes the gate, or opens a tunnel behind it.
func TestNoTunnel_E15(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	res := g.call("OPTIONS", "/mcp", "", "Authorization", "", "Origin", "http://localhost:6274", "Access-Control-Request-Method", "POST")
	if res.StatusCode >= 300 || res.Header.Get("Access-Control-Allow-Origin") != "http://localhost:6274" {
		t.Errorf("preflight: %s %v", res.Status, res.Header)
	}
	status(t, g.call("OPTIONS", "/mcp", "", "Authorization", ""), res.StatusCode)
	upgrade := []string{"Host: " + g.addr, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}
	if got := g.raw(append([]string{"GET /mcp HTTP/1.0"}, upgrade...)...); !strings.Contains(got, " 401 ") {
		t.Errorf("upgrade without token: %s", got)
	}
	if n := up.Hits(); n != 0 {
		t.Fatalf("%d requests reached the upstream", n)
	}
	g.raw(append([]string{"GET /mcp HTTP/1.0", "Authorization: Bearer " + aliceKey}, upgrade...)...)
	if h := up.Last(t).Header; h.Get("Upgrade") != "" || h.Get("Connection") != "" {
		t.Errorf("the upstream was asked to upgrade: %v", h)
	}
	before := up.Hits()
	for _, version := range []string{"1.0", "1.1"} {
		for _, target := range []string{"/mcp", g.addr, up.Listener.Addr().String(), g.url + "/mcp"} {
			got := g.raw("CONNECT "+target+" HTTP/"+version, "Host: "+g.addr, "Authorization: Bearer "+aliceKey, "Connection: close")
			if target == "/mcp" && !strings.Contains(got, " 405 ") || up.Hits() != before {
				t.Errorf("CONNECT %s: %s, %d requests passed", target, got, up.Hits()-before)
			}
		}
	}
	if status := extendedConnect(t, g); status != http.StatusMethodNotAllowed {
		t.Errorf("extended CONNECT: %d", status)
	}
	for _, method := range []string{"TRACE", "PUT", "PATCH", "PROPFIND", "post"} {
		status(t, g.call(method, "/mcp", ""), http.StatusMethodNotAllowed)
	}
	if n := up.Hits() - before; n != 0 {
		t.Errorf("%d requests with methods that are not MCP's reached the upstream", n)
	}
}

// extendedConnect asks for a WebSocket over HTTP/2 (RFC 8441), as Go's server
// hands such a request on where it is switched on for the process, and returns
// the status.
func extendedConnect(t *testing.T, g *instance) int {
	t.Helper()
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/mcp", nil)
	r.Method, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Host = http.MethodConnect, "HTTP/2.0", 2, 0, g.addr
	r.Header = http.Header{":protocol": {"websocket"}, "Authorization": {"Bearer " + aliceKey}, "Sec-Websocket-Version": {"13"}}
	w := httptest.NewRecorder()
	app.(*caddyhttp.App).Servers["srv0"].ServeHTTP(w, r)
	return w.Code
}

// E08, E09: nor can a header come after the body.
func TestNoTrailers_E08_E09(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL+" {\nidentity_header X-MCP-User user\n}")
	got := g.raw("POST /mcp HTTP/1.1", "Host: "+g.addr, "Authorization: Bearer "+aliceKey, "Connection: close",
		"Trailer: Authorization, X-MCP-User", "Transfer-Encoding: chunked", "",
		"2", "{}", "0", "Authorization: canary", "X-MCP-User: canary")
	if trailer := up.Last(t).Trailer; !strings.Contains(got, " 200 ") || len(trailer) != 0 {
		t.Errorf("answer %q, trailers at the upstream: %v", got, trailer)
	}
}

// P-5, P-6, E24: an upstream cannot speak for the site; what is about MCP passes.
func TestUpstreamsAnswer(t *testing.T) {
	var answerStatus int
	up := oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("WWW-Authenticate", `Bearer resource_metadata="https://canary.example/"`)
		h.Set("Set-Cookie", "canary=1")
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Strict-Transport-Security", "max-age=0")
		h.Set("NEL", `{"report_to":"canary","max_age":1}`)
		h.Set("Alt-Svc", `h3="canary.example:443"`)
		h.Set("X-Mcp-Thing", "kept")
		h.Set("Content-Type", "application/json")
		w.WriteHeader(answerStatus)
		_, _ = io.WriteString(w, `{"secret":"canary-of-the-upstream"}`)
	})
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	for _, answerStatus = range []int{200, 202, 400, 403, 404, 405, 500} {
		res := g.call("POST", "/mcp", initialize)
		body := status(t, res, answerStatus)
		if body != `{"secret":"canary-of-the-upstream"}` || res.Header.Get("X-Mcp-Thing") != "kept" {
			t.Errorf("%d: body or header lost: %q %v", answerStatus, body, res.Header)
		}
		for _, name := range []string{
			"WWW-Authenticate", "Set-Cookie", "Access-Control-Allow-Origin", "Strict-Transport-Security", "NEL", "Alt-Svc",
		} {
			if got := res.Header.Values(name); len(got) > 0 {
				t.Errorf("%d: %s: %q", answerStatus, name, got)
			}
		}
	}
	answerStatus = 401
	res := g.call("POST", "/mcp", initialize)
	body := status(t, res, http.StatusBadGateway)
	if strings.Contains(body, "canary") || res.Header.Get("WWW-Authenticate") != "" || !strings.Contains(body, "correlation_id") {
		t.Errorf("a refused credential shows: %s %v", body, res.Header)
	}
	up.Close()
	body = status(t, g.call("POST", "/mcp", initialize), http.StatusBadGateway)
	if !strings.Contains(body, "correlation_id") {
		t.Errorf("an unreachable upstream: %s", body)
	}
}

// A client's query passes, unless the operator's URL has one.
func TestClientsQuery(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL+"/mcp")
	status(t, g.call("POST", "/mcp?tools=a,b&x=%20", initialize), http.StatusOK)
	if got := up.Last(t).URL.String(); got != "/mcp?tools=a,b&x=%20" {
		t.Errorf("the upstream got %s", got)
	}
}

// RS-10, RS-11, P-5: an upstream may require a scope that is for us to grant,
// and no other.
func TestUpstreamRequiresScope(t *testing.T) {
	var challenge string
	up := oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", challenge)
		http.Error(w, "canary", http.StatusForbidden)
	})
	g := newGateway(t, "identity anonymous\nserver a /mcp "+up.URL+" {\noptional_scopes a:write\n}")
	token := regexp.MustCompile(`"access_token":"([^"]+)"`).FindStringSubmatch(g.signIn("c", g.url+"/mcp"))[1]
	for name, tc := range map[string]struct{ challenge, want string }{
		"ours":        {`Bearer error="insufficient_scope", scope="a:write", resource_metadata="https://canary.example"`, `scope="mcp:use a:write"`},
		"granted":     {`Bearer error="insufficient_scope", scope="mcp:use"`, ""},
		"not ours":    {`Bearer error="insufficient_scope", scope="a:write repo"`, ""},
		"none":        {`Bearer error="insufficient_scope"`, ""},
		"other error": {`Bearer error="invalid_request", scope="a:write"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			challenge = tc.challenge
			res := g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token)
			body := status(t, res, http.StatusForbidden)
			got := res.Header.Get("WWW-Authenticate")
			if tc.want == "" {
				if got != "" || body != "canary\n" {
					t.Errorf("got %s, %s", got, body)
				}
				return
			}
			if !strings.Contains(got, tc.want) || !strings.Contains(got, `error="insufficient_scope"`) ||
				!strings.Contains(got, `resource_metadata="`+g.url) || strings.Contains(got+body, "canary") {
				t.Errorf("got %s, %s", got, body)
			}
		})
	}
}

// Where an upstream redirects to is not for clients: it may be an internal
// address, and another server's.
func TestUpstreamsRedirect_K13(t *testing.T) {
	elsewhere := oauthtest.Serve(t, nil)
	up := oauthtest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/mcp/?canary", http.StatusTemporaryRedirect)
	})
	g := newGateway(t, alice+"server a /mcp "+up.URL+"/mcp")
	res := g.call("POST", "/mcp", initialize)
	body := status(t, res, http.StatusBadGateway)
	if res.Header.Get("Location") != "" || strings.Contains(body, elsewhere.URL) || elsewhere.Hits() != 0 {
		t.Errorf("got %s %v, and %d requests went there", body, res.Header, elsewhere.Hits())
	}
	if log := g.log(); !strings.Contains(log, elsewhere.URL+"/mcp/") || strings.Contains(log, "canary") {
		t.Errorf("log: %s", log)
	}
}

// Trailers would be past everything that checks an answer's headers.
func TestUpstreamsTrailers(t *testing.T) {
	up := oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Set-Cookie")
		_, _ = io.WriteString(w, "{}")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("Set-Cookie", "canary=1")
		w.Header().Set(http.TrailerPrefix+"WWW-Authenticate", "Bearer canary")
	})
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	res := g.call("POST", "/mcp", initialize)
	if body := status(t, res, http.StatusOK); body != "{}" || len(res.Trailer) != 0 {
		t.Errorf("body %q, trailers %v", body, res.Trailer)
	}
}

// A body is on its way to the upstream before the client has sent all of it.
func TestBodyIsStreamed(t *testing.T) {
	first, rest := make(chan string), make(chan string)
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b := make([]byte, 5)
		_, _ = io.ReadFull(r.Body, b)
		first <- string(b)
		more, _ := io.ReadAll(r.Body)
		rest <- string(more)
	}))
	defer up.Close()
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	body, send := io.Pipe()
	go func() {
		_, _ = io.WriteString(send, "first")
		if got := <-first; got != "first" {
			t.Errorf("the upstream got %q", got)
		}
		_, _ = io.WriteString(send, "rest")
		_ = send.Close()
	}()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", g.url+"/mcp", body)
	req.Header.Set("Authorization", "Bearer "+aliceKey)
	done := make(chan error)
	go func() {
		res, err := once.RoundTrip(req)
		if err == nil {
			res.Body.Close()
		}
		done <- err
	}()
	if got := <-rest; got != "rest" {
		t.Errorf("then it got %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// P-5: neither does an informational response.
func TestInformationalAnswer(t *testing.T) {
	up := oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "canary=1")
		w.Header().Set("Link", "</kept>")
		w.WriteHeader(http.StatusEarlyHints)
	})
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	var got textproto.MIMEHeader
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { got = h; return nil },
	})
	req, _ := http.NewRequestWithContext(ctx, "GET", g.url+"/mcp", nil)
	req.Header.Set("Authorization", "Bearer "+aliceKey)
	res, err := once.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got.Get("Link") != "</kept>" || got.Get("Set-Cookie") != "" {
		t.Errorf("the client got %v", got)
	}
}

// P-1, P-7, P-8: all that MCP's transport does passes as it is, at once, and a
// client that hangs up is gone for the upstream too.
func TestTransparent(t *testing.T) {
	gone := make(chan string, 1)
	up := oauthtest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.Header().Set("X-Accel-Buffering", "no")
		_, _ = io.WriteString(w, ": a comment\nid: 7\ndata: first\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		gone <- r.Method
	})
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	for _, method := range []string{"POST", "GET"} {
		res := g.call(method, "/mcp", initialize, "Last-Event-ID", "6", "Mcp-Method", "tools/call", "Mcp-Name", "x")
		if got, err := readEvent(res.Body); got != ": a comment\nid: 7\ndata: first" || res.Header.Get("X-Accel-Buffering") != "no" {
			t.Errorf("%s: %q, %v, %v", method, got, err, res.Header)
		}
		res.Body.Close()
		if got := <-gone; got != method {
			t.Errorf("%s hung up, not %s", got, method)
		}
		if h := up.Last(t).Header; h.Get("Last-Event-Id") != "6" || h.Get("Mcp-Method") != "tools/call" || h.Get("Mcp-Name") != "x" {
			t.Errorf("%s: %v", method, h)
		}
	}
	status(t, g.call("DELETE", "/mcp", ""), http.StatusNoContent)
}

// E22, P-10: a session id is bound to its grant; another's is unknown.
func TestSessionIDs_E22(t *testing.T) {
	up := oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Mcp-Session-Id", "s-1") })
	const bobKey = "bob-key-0123456789abcdef"
	t.Setenv("BOB", bobKey)
	g := newGateway(t, alice+"virtual_key bob {env.BOB}\nserver a /mcp "+up.URL+"\nserver b /b "+up.URL)
	id := g.call("POST", "/mcp", initialize).Header.Get("Mcp-Session-Id")
	if id == "s-1" || id == "" {
		t.Fatalf("the client got %q", id)
	}
	status(t, g.call("POST", "/mcp", "{}", "Mcp-Session-Id", id), http.StatusOK)
	if got := up.Last(t).Header.Get("Mcp-Session-Id"); got != "s-1" {
		t.Errorf("the upstream got %q", got)
	}
	before := up.Hits()
	status(t, g.call("POST", "/mcp", "{}", "Mcp-Session-Id", id, "Authorization", "Bearer "+bobKey), http.StatusNotFound)
	status(t, g.call("POST", "/b", "{}", "Mcp-Session-Id", id), http.StatusNotFound)
	status(t, g.call("POST", "/mcp", "{}", "Mcp-Session-Id", "s-1"), http.StatusNotFound)
	if up.Hits() != before {
		t.Error("a foreign session id reached the upstream")
	}
	// From 2026-07-28 on there are no sessions.
	status(t, g.call("POST", "/mcp", "{}", "Mcp-Session-Id", id, "Mcp-Protocol-Version", "2026-07-28"), http.StatusOK)
	if got := up.Last(t).Header.Get("Mcp-Session-Id"); got != "" {
		t.Errorf("the upstream got %q", got)
	}
}

// An MCP session belongs to the key that opened it, not to whoever has its name.
func TestSessionOfAnotherKey_E22(t *testing.T) {
	up := oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Mcp-Session-Id", "s-1") })
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	id := g.call("POST", "/mcp", initialize).Header.Get("Mcp-Session-Id")
	const newKey = "alice-key-fedcba9876543210"
	g.load(g.caddyfile(strings.Replace(alice, fmt.Sprintf("%x", storage.HashOf(aliceKey)), fmt.Sprintf("%x", storage.HashOf(newKey)), 1) + "server a /mcp " + up.URL))
	before := up.Hits()
	status(t, g.call("POST", "/mcp", "{}", "Mcp-Session-Id", id, "Authorization", "Bearer "+newKey), http.StatusNotFound)
	if up.Hits() != before {
		t.Error("the session of another reached the upstream")
	}
}

// Operators may use anything of reverse_proxy.
func TestProxyBlock(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp http://unresolvable.invalid/deep?key=1 {\nproxy {\nto "+up.Listener.Addr().String()+
		"\nheader_up X-Set {http.auth.user.id}/{http.mcp_oauth.server}\nheader_up Host other.example\n}\n}")
	status(t, g.call("POST", "/mcp?q=2&key=3", initialize), http.StatusOK)
	req := up.Last(t)
	if req.URL.String() != "/deep?key=1" || req.Host != "other.example" || req.Header.Get("X-Set") != "virtual_key:alice/a" {
		t.Errorf("got %s at %s, %v", req.URL, req.Host, req.Header)
	}
}

// Health checks reach an upstream behind TLS, and carry no credential.
func TestHealthChecks(t *testing.T) {
	probes, calls := make(chan http.Header, 16), make(chan http.Header, 1)
	up := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		to := probes
		if r.URL.Path == "/mcp" {
			to = calls
		}
		select {
		case to <- r.Header:
		default:
		}
	}))
	defer up.Close()
	t.Setenv("UPSTREAM", "canary-of-the-upstream")
	g := newGateway(t, alice+"server a /mcp "+up.URL+`/mcp {
			auth headers {
				X-Secret {env.UPSTREAM}
			}
			identity_jwt X-Identity
			proxy {
				health_uri /healthz
				health_interval 20ms
				transport http {
					tls_insecure_skip_verify
				}
			}
		}`)
	for range 3 {
		if probe := <-probes; probe.Get("X-Secret") != "" || probe.Get("X-Identity") != "" {
			t.Errorf("a probe carries %v", probe)
		}
	}
	status(t, g.call("POST", "/mcp", initialize), http.StatusOK)
	if call := <-calls; call.Get("X-Secret") != "canary-of-the-upstream" || call.Get("X-Identity") == "" {
		t.Errorf("the call carries %v", call)
	}
}

// Who logs at level DEBUG sees the headers of a request to a server with a proxy block
// as the client sent them.
func TestDebugLogHasHeaders(t *testing.T) {
	t.Setenv("UPSTREAM", "canary-of-the-upstream")
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL+" {\nproxy {\n}\nauth headers {\nX-Secret {env.UPSTREAM}\n}\n}")
	status(t, g.call("POST", "/mcp", initialize, "Mcp-Param-X", "of the client"), http.StatusOK)
	for line := range strings.Lines(g.log()) {
		if !strings.Contains(line, "upstream roundtrip") {
			continue
		}
		if !strings.Contains(line, "of the client") || strings.Contains(line, "canary") {
			t.Error(line)
		}
		return
	}
	t.Error("no line about the round trip")
}
