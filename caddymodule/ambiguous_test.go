package caddymodule

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// N13: a header that is read once here may be read otherwise at the server:
// what contradicts itself gets nowhere, and what only repeats itself passes
// once, also to a server where accounts are connected.
func TestHeadersSentTwice_N13(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server("optional")+"server plain /plain "+up.URL)
	g.person("alice").connect("notion")
	for _, path := range []string{"/plain", "/mcp"} {
		for _, name := range []string{"Mcp-Session-Id", "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Param-Region", "Last-Event-Id", "Content-Type", "Content-Encoding"} {
			send := func(values ...string) string {
				lines := []string{"POST " + path + " HTTP/1.1", "Host: " + g.addr, "Authorization: Bearer " + keyOf("alice"), "Connection: close", "Content-Length: 2"}
				for _, v := range values {
					lines = append(lines, name+": "+v)
				}
				return g.raw(append(lines, "", "{}")...)
			}
			notion.ForgetAccounts()
			before := up.Hits()
			if got := send("2025-11-25", "2026-07-28"); !strings.Contains(got, " 400 ") {
				t.Errorf("%s: %s with two values: %s", path, name, got)
			}
			if up.Hits() != before || len(notion.Accounts()) != 0 {
				t.Errorf("%s: %s with two values reached the server", path, name)
			}
			if name == "Mcp-Session-Id" { // of nobody
				continue
			}
			if got := send("2025-11-25", "2025-11-25"); !strings.Contains(got, " 200 ") {
				t.Errorf("%s: %s sent twice: %s", path, name, got)
			}
			if path == "/plain" && len(up.Last(t).Header[name]) != 1 {
				t.Errorf("%s sent twice: the server got %q", name, up.Last(t).Header[name])
			}
		}
	}
}

// A list is a list, however it is sent.
func TestListsSentTwice(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	g.raw("POST /mcp HTTP/1.1", "Host: "+g.addr, "Authorization: Bearer "+aliceKey, "Connection: close", "Content-Length: 2",
		"Accept: application/json", "Accept: text/event-stream", "", "{}")
	if got := up.Last(t).Header["Accept"]; strings.Join(got, ",") != "application/json,text/event-stream" {
		t.Errorf("the server got %q", got)
	}
}

// N13: what two servers could read as different requests is no request.
func TestSmuggling_N13(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	host, bearer, end := "Host: "+g.addr, "Authorization: Bearer "+aliceKey, "Connection: close"
	for name, tt := range map[string]struct {
		lines []string
		want  string
	}{
		"one request":            {[]string{"POST /mcp HTTP/1.1", host, bearer, end, "Content-Length: 2", "", "{}"}, " 200 "},
		"two lengths":            {[]string{"POST /mcp HTTP/1.1", host, bearer, end, "Content-Length: 2", "Content-Length: 3", "", "{}x"}, " 400 "},
		"a list of lengths":      {[]string{"POST /mcp HTTP/1.1", host, bearer, end, "Content-Length: 2, 3", "", "{}x"}, " 400 "},
		"signed length":          {[]string{"POST /mcp HTTP/1.1", host, bearer, end, "Content-Length: +2", "", "{}"}, " 400 "},
		"unknown coding":         {[]string{"POST /mcp HTTP/1.1", host, bearer, end, "Transfer-Encoding: xchunked", "", "0", ""}, " 501 "},
		"two codings":            {[]string{"POST /mcp HTTP/1.1", host, bearer, end, "Transfer-Encoding: chunked", "Transfer-Encoding: identity", "", "0", ""}, " 501 "},
		"hidden coding":          {[]string{"POST /mcp HTTP/1.1", host, bearer, end, "Transfer-Encoding : chunked", "", "0", ""}, " 400 "},
		"two hosts":              {[]string{"POST /mcp HTTP/1.1", host, "Host: evil.example", bearer, end, "Content-Length: 2", "", "{}"}, " 400 "},
		"no host":                {[]string{"POST /mcp HTTP/1.1", bearer, end, "Content-Length: 2", "", "{}"}, " 400 "},
		"another host's URL":     {[]string{"POST http://evil.example/mcp HTTP/1.1", host, bearer, end, "Content-Length: 2", "", "{}"}, " 421 "},
		"a null in a header":     {[]string{"POST /mcp HTTP/1.1", host, bearer, end, "X-A: a\x00b", "Content-Length: 2", "", "{}"}, " 400 "},
		"a line feed in the URL": {[]string{"POST /mcp\nX-A: HTTP/1.1", host, bearer, end, "Content-Length: 2", "", "{}"}, " 400 "},
	} {
		before := up.Hits()
		if got := g.raw(tt.lines...); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want%s", name, got, tt.want)
		}
		if n := up.Hits() - before; tt.want != " 200 " && n != 0 {
			t.Errorf("%s: %d requests at the server", name, n)
		}
	}
	// A length beside a coding says nothing (RFC 9112 section 6.3): one request,
	// and no second one after it.
	before := up.Hits()
	g.raw("POST /mcp HTTP/1.1", host, bearer, "Content-Length: 6", "Transfer-Encoding: chunked", "", "0", "", "POST /mcp HTTP/1.1", host, bearer, end, "Content-Length: 0")
	for _, r := range up.AllRequests()[before:] {
		if len(r.TransferEncoding) > 0 && r.Header.Get("Content-Length") != "" {
			t.Errorf("the server got both: %v %v", r.Header, r.TransferEncoding)
		}
	}
	if n := up.Hits() - before; n > 2 {
		t.Errorf("%d requests", n)
	}
}
