package gateway

import (
	"net/http"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
)

// What servers answer to what they do not offer, or within a session that has
// ended, is no failure of theirs.
func TestWhyNotMCP(t *testing.T) {
	const page = "text/html; charset=utf-8"
	for name, test := range map[string]struct {
		method, session string
		status          int
		mediaType       string
		want            string
	}{
		"an answer":                {"POST", "", 200, "application/json", ""},
		"a stream":                 {"POST", "", 200, "text/event-stream", ""},
		"accepted":                 {"POST", "", 202, "", ""},
		"an error of the server":   {"POST", "", 500, page, "server_error"},
		"the same to a stream":     {"GET", "", 503, "", "server_error"},
		"nothing there":            {"POST", "", 404, page, "not_found"},
		"nothing there, by Go":     {"POST", "", 404, "text/plain; charset=utf-8", "not_found"},
		"an unknown method":        {"POST", "", 404, "application/json", ""},
		"a session that has ended": {"POST", "s", 404, "application/json", ""},
		"a web page":               {"POST", "", 200, page, "web_page"},
		"no stream, said by page":  {"GET", "", 404, page, ""},
		"no stream":                {"GET", "", 405, "text/plain", ""},
		"no end of sessions":       {"DELETE", "s", 404, page, ""},
		"a wrong request":          {"POST", "", 400, page, ""},
	} {
		t.Run(name, func(t *testing.T) {
			req := &http.Request{Method: test.method, Header: http.Header{}}
			if test.session != "" {
				req.Header[mcp.HeaderSessionID] = []string{test.session}
			}
			res := &http.Response{StatusCode: test.status, Header: http.Header{"Content-Type": {test.mediaType}}}
			if got := whyNotMCP(req, res); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
