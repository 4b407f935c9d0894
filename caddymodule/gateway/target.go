package gateway

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// target is where a proxy sends calls, and what it adds to them.
type target struct {
	url *url.URL
	// headers hold the shared credential. They exist only in the transport:
	// nowhere a placeholder, a log or a later handler could see them.
	headers []fixedHeader
	claims  []identityHeader
	// statement is the canonical name of the header for Call.statement.
	statement string
}

// fixedHeader is the same on all requests, which share its values.
type fixedHeader struct {
	name   string // canonical
	values []string
}

// identityHeader tells the upstream something about the caller.
type identityHeader struct {
	name  string // canonical
	value func(*tokens.Caller) string
}

// claims are what identity headers can say.
var claims = map[string]func(*tokens.Caller) string{
	"user":     func(c *tokens.Caller) string { return c.Identity.Name },
	"identity": func(c *tokens.Caller) string { return c.Identity.Subject },
	"email":    email,
	"groups":   groups,
	"name":     claimedName,
	"client":   func(c *tokens.Caller) string { return c.ClientID },
	"grant":    func(c *tokens.Caller) string { return c.GrantID },
	"scope":    func(c *tokens.Caller) string { return c.Scope },
}

func email(c *tokens.Caller) string {
	if c.Identity.Claims == nil {
		return ""
	}
	return c.Identity.Claims.Email
}

// groups returns the groups of the caller, with commas between them. One with a
// comma in its name is left out: it would be read as others.
func groups(c *tokens.Caller) string {
	if c.Identity.Claims == nil {
		return ""
	}
	return strings.Join(slices.DeleteFunc(slices.Clone(c.Identity.Claims.Groups), func(g string) bool { return strings.Contains(g, ",") }), ",")
}

// claimedName returns what people call the caller, which others may be called, too.
func claimedName(c *tokens.Caller) string {
	if c.Identity.Claims == nil {
		return ""
	}
	return c.Identity.Claims.Name
}

func newTarget(s *config.Server) *target {
	t := &target{url: s.URL, statement: http.CanonicalHeaderKey(s.IdentityJWT)}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		t.headers = append(t.headers, fixedHeader{http.CanonicalHeaderKey(name), []string{s.Headers[name]}})
	}
	for _, name := range slices.Sorted(maps.Keys(s.IdentityHeaders)) {
		t.claims = append(t.claims, identityHeader{http.CanonicalHeaderKey(name), claims[s.IdentityHeaders[name]]})
	}
	return t
}

// maxIdentityHeader bounds what a name can add to a request. A longer value is
// left out rather than cut: two people could become one.
const maxIdentityHeader = 4 << 10

// headerValue makes any text fit for a header: bytes other than printable ASCII
// are percent-encoded, as is the percent sign. The result is unique to the
// text.
func headerValue(text string) string {
	const digits = "0123456789ABCDEF"
	plain := func(c byte) bool { return c > ' ' && c <= '~' && c != '%' }
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		inner := c == ' ' && i > 0 && i < len(text)-1 // a header's outer spaces get lost
		if plain(c) || inner {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	if b.Len() > maxIdentityHeader {
		return ""
	}
	return b.String()
}
