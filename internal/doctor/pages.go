package doctor

import (
	"net/http"
	"slices"
	"strings"
)

// pagesMayAsk reports whether pages in browsers may use the MCP endpoint. No
// standard of MCP says that they have to.
func (p *player) pagesMayAsk() bool {
	if p.f.origin == "" {
		return true
	}
	a := p.ask("")
	preflight := p.wire.do(p.ctx, preflightOf(p.f.origin, p.url, "POST", endpointHeaders))
	if a.header.Get("Access-Control-Allow-Origin")+preflight.header.Get("Access-Control-Allow-Origin") == "" {
		p.note(noCORS, p.url, "OPTIONS is answered "+preflight.describe(), preflight)
		return p.leave(NotOffered, challengeStep, "pages in browsers are not let in")
	}
	return p.preflight(challengeStep, p.url, "POST", endpointHeaders)
}

const endpointHeaders = "content-type, mcp-protocol-version, authorization"

func preflightOf(origin, at, method, headers string) request {
	return request{method: http.MethodOptions, url: at, header: map[string]string{
		"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers,
	}}
}

// preflight asks, for a page in a browser, whether it may send a request
// (Fetch standard, CORS protocol). Other families just send theirs.
func (p *player) preflight(step, at, method, headers string) bool {
	if p.f.origin == "" {
		return true
	}
	a := p.wire.do(p.ctx, preflightOf(p.f.origin, at, method, headers))
	seen := ""
	switch {
	case a.silent():
		return p.noAnswer(step, a)
	case !a.is2xx():
		seen = a.describe()
	case !allowsOrigin(a, p.f.origin):
		seen = a.describe() + ", Access-Control-Allow-Origin: " + named(a.header.Get("Access-Control-Allow-Origin"))
	case method != "GET" && method != "POST" && !lists(a, "Access-Control-Allow-Methods", method):
		seen = "method " + method + " is not allowed"
	default:
		for header := range strings.SplitSeq(headers, ", ") {
			if !lists(a, "Access-Control-Allow-Headers", header) {
				seen = "header " + header + " is not allowed"
			}
		}
	}
	if seen != "" {
		return p.stop(step, preflightRefused, at, seen, a)
	}
	return true
}

// readable reports whether a page in a browser may read an answer.
func (p *player) readable(step string, a *answer) bool {
	if p.f.origin == "" || allowsOrigin(a, p.f.origin) {
		return true
	}
	return p.stop(step, answerHidden, a.request.url, a.describe()+", Access-Control-Allow-Origin: "+named(a.header.Get("Access-Control-Allow-Origin")), a)
}

func allowsOrigin(a *answer, origin string) bool {
	allowed := a.header.Get("Access-Control-Allow-Origin")
	return allowed == "*" || allowed == origin
}

// exposes reports whether a page may read a header of an answer.
func exposes(a *answer, name string) bool { return lists(a, "Access-Control-Expose-Headers", name) }

// lists reports whether a header of the CORS protocol has a name in its list. A
// star stands for all but Authorization.
func lists(a *answer, header, name string) bool {
	var listed []string
	for part := range strings.SplitSeq(strings.Join(a.header.Values(header), ","), ",") {
		listed = append(listed, strings.ToLower(strings.TrimSpace(part)))
	}
	name = strings.ToLower(name)
	return slices.Contains(listed, name) || name != "authorization" && slices.Contains(listed, "*")
}
