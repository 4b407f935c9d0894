package caddymodule

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Calls that this module forwards by itself look the same to clients and MCP servers
// as those that Caddy's reverse_proxy forwards, whatever either does. More of them, for
// about ten minutes:
//
//	go test -run TestForwardersAgree -timeout 60m ./caddymodule -rapid.checks 400000
//
// What is meant to differ is in alike, and in the documentation of internal/relay.
func TestForwardersAgree(t *testing.T) {
	drawMany(t)
	up := newScripted(t)
	server := " http://" + up.Addr().String() + "/inner {\npass_headers X-Custom-* Incremental\n"
	lines := alice + "server own /own" + server + "}\nserver theirs /theirs" + server + "proxy {\n}\n}\n"
	g := newGateway(t, lines)
	behind := freeAddr(t)
	text := strings.Replace(g.caddyfile(lines), "level DEBUG", "level FATAL", 1)
	text = strings.Replace(text, "admin off", "admin off\nservers "+behind+" {\ntrusted_proxies static 127.0.0.1/32\n}", 1)
	g.load(text + "http://" + behind + " {\nbind 127.0.0.1\nheader X-Loaded 1\nmcp_oauth {\n" + lines + "}\n}\n")
	// difference returns what is different, or empty.
	difference := func(t *rapid.T, x *exchange) string {
		addr := g.addr
		if x.Trusted {
			addr = behind
		}
		own, theirs := newPlay(x), newPlay(x)
		for path, p := range map[string]*play{"/own": own, "/theirs": theirs} {
			up.put(p)
			p.call(g.t, addr, path)
			up.put(nil)
			if strings.Contains(p.heard.Body, "smuggled") {
				t.Errorf("%s: the client got the answer to another: %q", path, p.heard.Body)
			}
		}
		if own.late || theirs.late {
			return fmt.Sprintf("what was waited for never came, by itself %v, by reverse_proxy %v: exchange %s\nby itself %s", own.late, theirs.late, show(x), alike(own))
		}
		if a, b := alike(own), alike(theirs); a != b {
			return fmt.Sprintf("forwarded by itself, and by reverse_proxy:\n%s\nexchange %s", differing(a, b), show(x))
		}
		return ""
	}
	rapid.Check(t, func(t *rapid.T) {
		x := drawExchange(t)
		once := difference(t, x)
		if once == "" {
			return
		}
		for range 10 { // on a busy machine both can be late once, each in its own way
			if again := difference(t, x); again != "" {
				t.Fatalf("%s\n\nand again: %s", once, again)
			}
		}
	})
}

// drawMany has more drawn than rapid does unless it is told how many: what both forwarders
// do alike has more sides than that, and most exchanges take a millisecond.
func drawMany(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() != checks.DefValue {
		return
	}
	t.Cleanup(func() { _ = checks.Value.Set(checks.DefValue) })
	_ = checks.Value.Set("1000")
}

var (
	anyReference = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	sessionID    = regexp.MustCompile(`(Mcp-Session-Id: s-1\.)\S+`)
	announced    = regexp.MustCompile(`(?m)^Trailer: .*$\n?`)
	guessed      = regexp.MustCompile(`(?m)^Content-Type: text/plain; charset=utf-8$\n?`)
	repeated     = regexp.MustCompile(`((?:\[[a-z]{12}\.\d\])|(?:<[a-z]{12}\.\d>))(?:(?:\[[a-z]{12}\.\d\])|(?:<[a-z]{12}\.\d>)|long |x{100})+`)
	today        = regexp.MustCompile(`(?m)^Date: .* 20(2\d) .*$`)
)

// alike is what was seen of an exchange, without what is random, differs from one time
// to the next with the same proxy, or is meant to differ.
func alike(p *play) string {
	heard, script := p.heard, p.Answers[len(p.Answers)-1]
	heard.Header = announced.ReplaceAllString(heard.Header, "") // meant: there are no trailers
	heard.Header = today.ReplaceAllString(sessionID.ReplaceAllString(heard.Header, "$1…"), "Date: now")
	if heard.Body = anyReference.ReplaceAllString(heard.Body, "…"); script.Torn {
		heard.Body = "" // how much arrives before the reset
	}
	if !strings.Contains(strings.ToLower(script.text()), "content-type:") {
		heard.Header = guessed.ReplaceAllString(heard.Header, "") // unless the header is flushed before the body is looked at
	}
	heard.Body = short(heard.Body)
	if heard.Body == "" && script.Unmeasured {
		heard.Framing = "" // it depends on whether the header is flushed before the end comes
		heard.Header = regexp.MustCompile(`(?m)^Content-Length: 0$\n?`).ReplaceAllString(heard.Header, "")
	}
	if p.Expect { // Go's server says 100 once the body is read, and so may the MCP server
		heard.Informational = nil
	}
	switch {
	case script.Early && len(p.Pieces) > 0:
		// Go's server takes the rest of a body away from who reads it, once an answer begins:
		// then the transport hangs up on the MCP server, who may be done by then.
		heard = answerHeard{Informational: heard.Informational, Status: heard.Status}
	case script.Early && p.sendsBody():
		// The end of the body, which the MCP server leaves unread, may reset an answer of which
		// the client has something.
		_, heard.Ended, _ = strings.Cut(heard.Ended, " with ")
		heard.Body = ""
	}
	text := fmt.Sprintf("late %v\nheard %s\n", p.late, show(heard))
	for _, s := range p.seen {
		s.Reused, s.Body = false, short(s.Body)
		if script.Early {
			s.Framing, s.Gone = "", false
		}
		text += fmt.Sprintf("seen %s\n", show(s))
	}
	return text
}

// short tells long bodies apart.
func short(body string) string {
	if len(body) < 200 {
		return body
	}
	return fmt.Sprintf("%s… (%d bytes, %x)", body[:20], len(body), sha256.Sum256([]byte(body)))
}

func show(v any) string {
	text := repeated.ReplaceAllString(fmt.Sprintf("%+q", fmt.Sprintf("%+v", v)), "$1…")
	return strings.NewReplacer(`\n`, "\n  ", `\r`, "").Replace(text)
}

// differing returns the lines that differ.
func differing(a, b string) string {
	left, right := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for _, l := range left {
		if !slices.Contains(right, l) {
			out = append(out, "- "+l)
		}
	}
	for _, r := range right {
		if !slices.Contains(left, r) {
			out = append(out, "+ "+r)
		}
	}
	return strings.Join(out, "\n")
}
