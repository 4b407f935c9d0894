package consent

import (
	"cmp"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// maxName is how many characters of a client's name are shown: enough to
// recognise one, too few to tell a story.
const maxName = 60

// short returns a name as it fits into a heading or on a button.
func short(name string) string {
	if characters := []rune(name); len(characters) > maxName {
		return string(characters[:maxName]) + "…"
	}
	return name
}

// maxMarks is how many accents and signs a letter may carry; more of them paint
// over the lines above and below.
const maxMarks = 3

// cleanName makes text that an application chose fit to be shown on one line:
// no control, direction, zero-width or otherwise invisible characters, white
// space as single spaces, a few accents on a letter, and a limited length. It
// returns "" if nothing remains that a person could read.
func cleanName(s string) string {
	marks := maxMarks // none where there is no letter yet
	visible := strings.Map(func(r rune) rune {
		switch {
		case blank(r):
			marks = maxMarks
			return ' '
		case hidden(r):
			return -1
		case !unicode.Is(unicode.M, r):
			marks = 0
		case marks == maxMarks:
			return -1
		default:
			marks++
		}
		return r
	}, s)
	name := strings.Join(strings.Fields(visible), " ")
	if !strings.ContainsFunc(name, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }) {
		return ""
	}
	if characters := []rune(name); len(characters) > maxName {
		return strings.TrimSpace(string(characters[:maxName])) + "…"
	}
	return name
}

// blank reports characters that look like a space.
func blank(r rune) bool {
	return unicode.IsSpace(r) || unicode.Is(unicode.Z, r) || r == '\u2800' // braille pattern blank
}

// hidden reports characters that show nothing of their own.
func hidden(r rune) bool {
	return !unicode.IsPrint(r) || r == utf8.RuneError ||
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || unicode.Is(unicode.Variation_Selector, r)
}

// hostOf returns the host of a URL as ASCII, with its port unless it is the
// default: a name in another script that only looks like a known one shows as
// xn--….
func hostOf(u *url.URL) string {
	host := u.Hostname()
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	} else if ascii, err := idna.ToASCII(host); err == nil {
		host = ascii
	}
	host = onlyASCII(strings.ToLower(host))
	port := u.Port()
	if port != "" && !(u.Scheme == "https" && port == "443") && !(u.Scheme == "http" && port == "80") {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// onlyASCII replaces what is left of other scripts, and what is not printable.
func onlyASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s)
}

// isLoopback reports whether the URL leads to the computer the browser runs on
// (RFC 8252 section 7.3).
func isLoopback(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && oauth.IsLoopbackHost(u.Hostname())
}

// address returns a resource without its scheme.
func address(resource string) string {
	u, err := url.Parse(resource)
	if err != nil {
		return onlyASCII(resource)
	}
	return hostOf(u) + u.EscapedPath()
}

// date writes a time for people of any time zone.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 January 2006, 15:04 UTC")
}

func titleOf(s *config.Server) string { return cmp.Or(s.Title, s.ID) }

func titlesOf(servers []*config.Server) []string {
	titles := make([]string, len(servers))
	for i, s := range servers {
		titles[i] = titleOf(s)
	}
	return titles
}

// addressOf returns a redirect URI for people: its host as hostOf shows it, and
// without a user name, which could pass for a host.
func addressOf(u *url.URL) string {
	shown := *u
	shown.User = nil
	if u.Host != "" {
		shown.Host = hostOf(u)
	}
	return onlyASCII(shown.String())
}

// onTheWeb reports whether the URL leads to a site, rather than to a program
// or an app on the device.
func onTheWeb(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && !isLoopback(u)
}

// quote marks where a stranger's words begin and end, and keeps their
// direction of writing inside.
func quote(name string) string {
	if name == "" {
		return ""
	}
	return "“\u2068" + strings.NewReplacer("“", "'", "”", "'").Replace(name) + "\u2069”"
}
