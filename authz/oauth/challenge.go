package oauth

import (
	"net/http"
	"strings"
)

const (
	maxChallengeLen = 16 << 10
	maxChallengeURL = 2 << 10
)

// Challenge is what a server's WWW-Authenticate asks for (RFC 6750 section 3,
// RFC 9728 section 5.1). A server can write anything there: what is no scope
// or no URL is left out.
type Challenge struct {
	// ResourceMetadata is where the server describes itself, not yet judged.
	ResourceMetadata string
	Scopes           []string
	// InsufficientScope tells that the token works but lacks Scopes.
	InsufficientScope bool
}

// ParseChallenge reads the Bearer challenge of a response. Of several, the
// first that names its metadata counts, else the first.
func ParseChallenge(h http.Header) Challenge {
	var chosen map[string]string
	for _, value := range h.Values("WWW-Authenticate") {
		for _, c := range parseChallenges(value) {
			if c.scheme != "bearer" || chosen["resource_metadata"] != "" {
				continue
			}
			if chosen == nil || c.params["resource_metadata"] != "" {
				chosen = c.params
			}
		}
	}
	c := Challenge{
		Scopes:            scopesOf(chosen["scope"]),
		InsufficientScope: chosen["error"] == "insufficient_scope",
	}
	if u := chosen["resource_metadata"]; len(u) <= maxChallengeURL && VisibleASCII(u) {
		c.ResourceMetadata = u
	}
	return c
}

// authChallenge is one challenge of a header: its scheme and the names of its
// parameters in lower case.
type authChallenge struct {
	scheme string
	params map[string]string
}

// parseChallenges reads the challenges of one header field (RFC 9110 section
// 11.6.1), up to the first mistake. Values that should be quoted and are not
// are read up to the next comma or space.
func parseChallenges(value string) []authChallenge {
	if len(value) > maxChallengeLen {
		return nil
	}
	var challenges []authChallenge
	p := challengeParser{rest: value}
	for {
		p.skip(" \t,")
		name := strings.ToLower(p.token())
		if name == "" {
			return challenges
		}
		p.skip(" \t")
		if !p.accept('=') {
			challenges = append(challenges, authChallenge{scheme: name, params: map[string]string{}})
			p.token68()
			continue
		}
		p.skip(" \t")
		v, ok := p.value()
		if !ok || len(challenges) == 0 {
			return challenges
		}
		// A name that repeats is a mistake; the first counts.
		params := challenges[len(challenges)-1].params
		if _, repeated := params[name]; !repeated {
			params[name] = v
		}
	}
}

type challengeParser struct{ rest string }

func (p *challengeParser) skip(chars string) { p.rest = strings.TrimLeft(p.rest, chars) }

func (p *challengeParser) accept(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// take returns the longest start of the rest whose bytes all satisfy is.
func (p *challengeParser) take(is func(byte) bool) string {
	n := 0
	for n < len(p.rest) && is(p.rest[n]) {
		n++
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *challengeParser) token() string { return p.take(isTokenChar) }

// token68 skips credentials in the older syntax, which stand alone after a scheme.
func (p *challengeParser) token68() {
	try := *p
	try.take(func(c byte) bool { return isAlnum(c) || strings.IndexByte("-._~+/", c) >= 0 })
	try.take(func(c byte) bool { return c == '=' })
	try.skip(" \t")
	if try.rest == "" || try.rest[0] == ',' {
		*p = try
	}
}

// singleQuoted reads a value in the quotes that some write for those of HTTP.
func (p *challengeParser) singleQuoted() (string, bool) {
	rest, ok := strings.CutPrefix(p.rest, "'")
	value, after, closed := strings.Cut(rest, "'")
	if !ok || !closed || after != "" && strings.IndexByte(" \t,", after[0]) < 0 {
		return "", false
	}
	p.rest = after
	return value, true
}

func (p *challengeParser) value() (string, bool) {
	if single, ok := p.singleQuoted(); ok {
		return single, true
	}
	if !p.accept('"') {
		return p.take(func(c byte) bool { return c > ' ' && c <= '~' && c != ',' && c != '"' }), true
	}
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case '\\':
			if i++; i < len(p.rest) {
				b.WriteByte(p.rest[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isTokenChar follows RFC 9110 section 5.6.2.
func isTokenChar(c byte) bool {
	return isAlnum(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// BearerChallenge is the WWW-Authenticate of a protected resource (RFC 6750
// section 3, RFC 9728 section 5.1). What is empty is left out; one at least must
// not be. A request without a credential did nothing wrong, so its challenge has
// no error.
type BearerChallenge struct {
	Realm, Error, Description string
	ResourceMetadata          string // a URL
	Scope                     string // space-separated
}

// String returns the value of the header. Nothing in it is escaped: all of it is
// ours, or was checked.
func (c BearerChallenge) String() string {
	var b strings.Builder
	separator := "Bearer "
	for _, param := range [...][2]string{
		{"realm", c.Realm}, {"error", c.Error}, {"error_description", c.Description},
		{"resource_metadata", c.ResourceMetadata}, {"scope", c.Scope},
	} {
		if param[1] != "" {
			b.WriteString(separator + param[0] + `="` + param[1] + `"`)
			separator = ", "
		}
	}
	return b.String()
}
