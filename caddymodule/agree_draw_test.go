package caddymodule

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// exchange is a request, and what the MCP server does with it. Nothing in it depends
// on time: who waits, waits for something that the other side does.
type exchange struct {
	ID      string
	Trusted bool // the client is a proxy that is believed
	Method  string
	Query   string
	Proto   string
	Headers []string
	Expect  bool
	Framing string   // of the request's body: none, length, chunked or trailers
	Pieces  []string // of it
	// Leave is when the client hangs up: never, in its body before a piece, once its
	// request was read, or after some of the answer.
	Leave   string
	LeaveAt int
	Answers []answered // to the first attempt, and to all others
}

// answered is what the MCP server does with a request.
type answered struct {
	Early bool // it answers before it reads the body
	Parts []part
	// Of them there is a body of unknown length, or one that the client may get in part.
	Unmeasured, Torn bool
	End              string // keep, close, reset, or wait until nobody waits for it any more
}

// part is what the MCP server sends at once. It goes on when the client has something of
// it: the answer's header, or so much of its body.
type part struct {
	Text   string
	Headed bool
	Until  int
}

func (x *exchange) head(addr, path string) string {
	lines := []string{x.Method + " " + path + x.Query + " HTTP/" + x.Proto, "Host: " + addr, "Authorization: Bearer " + aliceKey, "Mcp-Case: " + x.ID}
	lines = append(lines, x.Headers...)
	switch x.Framing {
	case "length":
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(strings.Join(x.Pieces, ""))))
	case "chunked":
		lines = append(lines, "Transfer-Encoding: chunked")
	case "trailers":
		lines = append(lines, "Transfer-Encoding: chunked", "Trailer: X-Custom-Late")
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func (x *exchange) framed(piece string) string {
	if x.Framing == "length" {
		return piece
	}
	return fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
}

func (x *exchange) last() string {
	switch x.Framing {
	case "chunked":
		return "0\r\n\r\n"
	case "trailers":
		return "0\r\nX-Custom-Late: yes\r\n\r\n"
	}
	return ""
}

var requestHeaders = []string{
	"User-Agent: client/1", "User-Agent: ", "Accept: application/json, text/event-stream", "Accept-Encoding: gzip", "Accept-Encoding: identity",
	"Accept-Encoding: ", "Range: bytes=0-1", "Connection: close", "Connection: keep-alive", "Connection: X-Custom-A", "Keep-Alive: timeout=5",
	"TE: trailers", "Upgrade: websocket", "Proxy-Connection: keep-alive", "X-Custom-A: one", "X-Custom-A: two", "x-custom-b:", "X-Custom-Odd: \t a\tb ",
	"X-Custom-Latin: \xe9\xff", "Incremental: ?1", "Incremental: ?0", "Incremental: 1", "Mcp-Protocol-Version: 2025-11-25", "Mcp-Name: x",
	"X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 198.51.100.1, 2001:db8::1", "X-Forwarded-For:", "X-Forwarded-Proto: https", "X-Forwarded-Proto:",
	"X-Forwarded-Host: front.example", "X-Forwarded-Host: other.example", "Via: 1.0 front", "Via: 2.0 other", "Cookie: a=b", "Expires: 0",
	"X-Custom-Long: " + strings.Repeat("long ", 5000), "Content-Type: application/json", "Last-Event-ID: 7", "Alt-Svc: clear", "Proxy-Authorization: x",
}

var answerHeaders = []string{
	"Content-Type: application/json", "Content-Type: text/event-stream", "Content-Type: Text/Event-Stream; charset=utf-8",
	"Content-Type: text/event-stream; charset", "Content-Type: text/event-streams", "Content-Type: text/html", "Server: theirs", "Date: Tue, 01 Jan 2030 00:00:00 GMT",
	"Via: 1.1 inner", "Via: 1.0 innermost", "X-Accel-Buffering: no", "X-Loaded: theirs", "X-Multi: 1", "X-Multi: 2", "x-lower: kept", "X_Under: kept", "X-Empty:",
	"Connection: X-Named, x-multi", "X-Named: dropped", "Connection: close", "Connection: keep-alive", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic",
	"Proxy-Connection: close", "Upgrade: h2c", "TE: x", "Trailer: X-Late", "Alt-Svc: h3=\":1\"", "Set-Cookie: a=b", "WWW-Authenticate: Bearer",
	"Incremental: ?1", "Incremental: ?0", "Mcp-Session-Id: s-1", "Location: /elsewhere", "Access-Control-Allow-Origin: *", "Vary: Origin", "Cache-Control: no-store",
	"X-Latin: \xe9\xff", "X-Folded: a\r\n b", "X-Long: " + strings.Repeat("long ", 20000), "ETag: \"1\"", "X-Tab:\ta\t", "Content-Language: en",
	// What nobody may send.
	"No-Colon", "X Space: 1", "X-Nul: a\x00b", ": nameless", "X-Ctl: \x01", "Content-Length: -1", "Content-Length: 5, 6", "Transfer-Encoding: gzip", "Transfer-Encoding: identity",
}

var statuses = []string{
	"200 OK", "200", "200 ", "201 Created", "202 Accepted", "204 No Content", "205 Reset Content", "206 Partial Content", "299 Odd",
	"301 Moved", "304 Not Modified", "307 Temporary Redirect", "400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "405 Method Not Allowed", "409 Conflict", "429 Too Many",
	"500 Internal", "502 Bad Gateway", "503 Unavailable", "504 Timeout", "599 Odd", "600 Odd", "999 Odd",
	"20 Short", "2000 Long", "2x0 Odd", "-20 Odd", "",
}

var informational = []string{
	"100 Continue\r\n\r\n", "102 Processing\r\nX-Hint: 1\r\n\r\n", "103 Early Hints\r\nLink: </a>; rel=preload\r\nSet-Cookie: a=b\r\nConnection: X-Named\r\nX-Named: 1\r\n\r\n",
	"110 Odd\r\nDate: x\r\nVia: 1.1 inner\r\n\r\n",
}

// drawExchange draws what is often as it should be, and sometimes as nobody should.
func drawExchange(t *rapid.T) *exchange {
	x := &exchange{ID: rapid.StringMatching(`[a-z]{12}`).Draw(t, "id"), Trusted: rapid.Bool().Draw(t, "trusted")}
	x.Method = rapid.SampledFrom([]string{"POST", "POST", "POST", "GET", "GET", "DELETE", "HEAD", "OPTIONS"}).Draw(t, "method")
	x.Proto = rapid.SampledFrom([]string{"1.1", "1.1", "1.1", "1.0"}).Draw(t, "proto")
	x.Query = rapid.SampledFrom([]string{"", "", "?", "?a=b&c=%20", "?%zz"}).Draw(t, "query")
	x.Headers = rapid.SliceOfN(rapid.SampledFrom(requestHeaders), 0, 6).Draw(t, "headers")
	x.Framing = rapid.SampledFrom([]string{"none", "length", "length", "chunked", "trailers"}).Draw(t, "framing")
	if x.Proto == "1.0" && x.Framing != "none" {
		x.Framing = "length"
	}
	if x.Method == "OPTIONS" { // which the gate answers, and the server then waits for the body
		x.Framing = "none"
	}
	if x.Framing != "none" {
		for i, size := range rapid.SliceOfN(rapid.SampledFrom([]int{1, 2, 100, 5000, 70000}), 0, 4).Draw(t, "pieces") {
			x.Pieces = append(x.Pieces, filled(fmt.Sprintf("<%s.%d>", x.ID, i), size))
		}
	}
	if x.Expect = len(x.Pieces) > 0 && x.Method == "POST" && x.Proto == "1.1" && chance(t, 10, "expect"); x.Expect {
		x.Headers = append(x.Headers, "Expect: 100-continue")
	}
	x.Answers = []answered{drawAnswer(t, x)}
	if chance(t, 10, "hang up first") {
		x.Answers = append([]answered{{End: rapid.SampledFrom([]string{"close", "reset"}).Draw(t, "hung up")}}, x.Answers...)
		return x
	}
	drawLeave(t, x)
	return x
}

// sendsBody reports whether anything of a body is sent, if only its end.
func (x *exchange) sendsBody() bool {
	return len(x.Pieces) > 0 || x.Framing == "chunked" || x.Framing == "trailers" // which both have an end of their own
}

func chance(t *rapid.T, percent int, what string) bool {
	return rapid.IntRange(0, 99).Draw(t, what) >= 100-percent
}

func filled(text string, size int) string {
	return strings.Repeat(text, size/len(text)+1)[:size]
}

// drawLeave draws when the client leaves, if it does.
func drawLeave(t *rapid.T, x *exchange) {
	a := &x.Answers[0]
	switch leave := rapid.SampledFrom([]string{"", "", "", "", "body", "asked", "answer"}).Draw(t, "leave"); {
	case a.Early || x.Expect:
	case x.Method != "POST" && x.Framing != "none" && x.Framing != "length": // whose body may be left unread, and nobody sees the client leave
	case leave == "body" && len(x.Pieces) > 0 && x.Framing != "none":
		x.Leave, x.LeaveAt = leave, rapid.IntRange(0, len(x.Pieces)-1).Draw(t, "at piece")
		*a = answered{End: "wait"}
	case leave == "asked":
		x.Leave = leave
		*a = answered{End: "wait"}
	case leave == "answer" && a.Unmeasured && x.Method != "HEAD":
		for i, p := range a.Parts { // after a part that it has to have
			if p.Until > 0 {
				x.Leave, x.LeaveAt = leave, p.Until
				a.Parts, a.End, a.Torn = a.Parts[:i+1], "wait", false
				return
			}
		}
	}
}

func drawAnswer(t *rapid.T, x *exchange) answered {
	a := answered{Early: chance(t, 10, "early") && !x.Expect && len(strings.Join(x.Pieces, "")) < 8000, End: "keep"}
	proto := rapid.SampledFrom([]string{"HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.0", "HTTP/1.2", "HTTP/3", "ICY"}).Draw(t, "answer's proto")
	status := "200 OK"
	if chance(t, 50, "odd status") {
		status = rapid.SampledFrom(statuses).Draw(t, "status")
	}
	head := proto + " " + status + "\r\n"
	var headers []string
	for _, h := range rapid.SliceOfN(rapid.SampledFrom(answerHeaders), 0, 6).Draw(t, "answer's headers") {
		headers = append(headers, h+"\r\n")
	}
	for _, text := range rapid.SliceOfN(rapid.SampledFrom(informational), 0, 2).Draw(t, "informational") {
		a.Parts = append(a.Parts, part{Text: "HTTP/1.1 " + text})
	}
	if chance(t, 3, "garbage") {
		a.Parts = append(a.Parts, part{Text: rapid.SampledFrom([]string{"\x16\x03\x01", "HTTP/1.1", "hello\r\n\r\n", "\r\n\r\n", strings.Repeat("x", 5000), "{}\n"}).Draw(t, "what")})
		a.End = "close"
		return a
	}
	head += strings.Join(headers, "")
	if chance(t, 3, "cut head") {
		a.Parts = append(a.Parts, part{Text: head[:len(head)/2]})
		a.End = "close"
		return a
	}
	drawBody(t, x, &a, head)
	if strings.HasPrefix(head, "HTTP/1.0") || strings.Contains(head, "Connection: close") {
		a.End = strings.Replace(a.End, "keep", "close", 1)
	}
	return a
}
