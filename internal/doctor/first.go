package doctor

import (
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// opening is what a client learns from its first request, without a token.
type opening struct {
	// open is true if no token is needed.
	open     bool
	metadata string
	scopes   []string
	// challenged is true if there was a Bearer challenge that the client can read.
	challenged bool
}

const challengeStep = "first request"

// first makes the first request. What no client gets an answer to is nothing about
// pages in browsers.
func (p *player) first() (opening, bool) {
	plain := p.wire.do(p.ctx, p.initialize(family{revision: p.f.revision}, ""))
	works := plain.status == 401 || plain.is2xx() && plain.result() != nil
	if works && !p.pagesMayAsk() {
		return opening{}, false
	}
	a := p.ask("")
	if (notFound(a) || a.status == 400) && offersSSE(p.wire.do(p.ctx, p.stream(""))) {
		return opening{}, p.stop(challengeStep, legacyOnly, p.url, a.describe()+"; a GET opens a stream of HTTP+SSE", a)
	}
	if a.is2xx() && a.result() != nil {
		// Some let anybody in as far as the list of tools.
		if list := p.list(""); list.status == 401 {
			a = list
		}
	}
	return p.judgeFirst(a)
}

// ask is the first request of the family's revision. Clients of the latest fall
// back to that of its predecessors where it is not understood.
func (p *player) ask(token string) *answer {
	if mcp.HasSessions(p.f.revision) {
		return p.wire.do(p.ctx, p.initialize(p.f, token))
	}
	a := p.wire.do(p.ctx, p.discover(token))
	if a.status == 401 || a.silent() || supports(a, mcp.Stateless) {
		return a
	}
	p.did(challengeStep, "the server does not speak "+mcp.Stateless+" ("+a.describe()+" to server/discover), so it falls back to initialize")
	p.f.revision = mcp.November2025
	return p.wire.do(p.ctx, p.initialize(p.f, token))
}

func (p *player) judgeFirst(a *answer) (opening, bool) {
	seen := a.describe()
	stop := func(k *Kind) (opening, bool) { return opening{}, p.stop(challengeStep, k, p.url, seen, a) }
	switch {
	case a.silent():
		return opening{}, p.noAnswer(challengeStep, a)
	case a.status == 401:
		return p.challenge(a)
	case a.is2xx() && a.result() != nil:
		if !p.readable(challengeStep, a) {
			return opening{}, false
		}
		return opening{open: true}, true
	case a.is2xx() && a.rpcError() != nil:
		return stop(initializeFailed)
	case a.is2xx() || notFound(a):
		return stop(notMCP)
	case a.is3xx():
		return stop(redirected)
	case a.status == 403 || a.status == 407 || a.status == 402 || a.status == 400 && a.header.Get("WWW-Authenticate") != "":
		return stop(wrongRefusal)
	case a.rpcError() != nil:
		return stop(initializeFailed)
	}
	return stop(notMCP)
}

func notFound(a *answer) bool {
	return a.status == 404 || a.status == 405 || a.status == 410 || a.status == 421
}

// challenge reads a 401.
func (p *player) challenge(a *answer) (opening, bool) {
	if !p.readable(challengeStep, a) {
		return opening{}, false
	}
	seen := "401, WWW-Authenticate: " + named(a.header.Get("WWW-Authenticate"))
	if !hasBearer(a) {
		if p.f.revision == mcp.June2025 {
			return opening{}, p.stop(challengeStep, noChallenge, p.url, seen, a)
		}
		p.note(noChallenge, p.url, seen, a)
		p.did(challengeStep, "401 without a Bearer challenge; looks at the well-known places")
		return opening{}, true
	}
	c := oauth.ParseChallenge(a.header)
	p.judgeChallenge(a)
	if p.f.origin != "" && !exposes(a, "WWW-Authenticate") {
		p.note(headerHidden, p.url, "WWW-Authenticate", a)
		c = oauth.Challenge{}
	}
	first := opening{challenged: true, metadata: c.ResourceMetadata, scopes: c.Scopes}
	if p.f.revision == march2025 {
		p.did(challengeStep, "401; it does not know resource metadata, and looks for the authorization server at the origin")
		return first, true
	}
	switch {
	case c.ResourceMetadata == "" && p.f.revision == mcp.June2025 && p.anyPresent(p.wellKnown()):
		return first, p.stop(challengeStep, challengeWithoutMetadata, p.url, seen, a)
	case c.ResourceMetadata != "" && p.target.checkAddress(c.ResourceMetadata) != nil:
		return first, p.stop(challengeStep, badMetadataURL, p.url, c.ResourceMetadata+": "+p.target.checkAddress(c.ResourceMetadata).Error(), a)
	case c.ResourceMetadata == "":
		p.did(challengeStep, "401 without resource_metadata; looks at the well-known places")
	default:
		p.did(challengeStep, "401, resource metadata at "+shown(c.ResourceMetadata))
	}
	return first, true
}

// judgeChallenge notes what could be better about a challenge.
func (p *player) judgeChallenge(a *answer) {
	value := strings.ToLower(strings.Join(a.header.Values("WWW-Authenticate"), ", "))
	if strings.Contains(value, "error=") {
		p.note(noErrorExpected, p.url, strings.Join(a.header.Values("WWW-Authenticate"), ", "), a)
	}
	if strings.Contains(value, oauth.OfflineAccess) {
		p.note(offlineAccess, p.url, strings.Join(a.header.Values("WWW-Authenticate"), ", "), a)
	}
}

func (p *player) anyPresent(places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool { return isJSONObject(p.get(place)) })
}

func hasBearer(a *answer) bool {
	for _, value := range a.header.Values("WWW-Authenticate") {
		for part := range strings.SplitSeq(value, ",") {
			if scheme, _, _ := strings.Cut(strings.TrimSpace(part), " "); strings.EqualFold(scheme, "Bearer") {
				return true
			}
		}
	}
	return false
}

func named(value string) string {
	if value == "" {
		return "none"
	}
	return value
}
