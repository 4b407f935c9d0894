package consent

import (
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Whoever may not use what is asked for reads what that is.
func TestMayNotUse(t *testing.T) {
	ci := identity.Key{Name: "ci", Hash: storage.HashOf("ci's key"), Servers: []string{"github"}}
	for name, tt := range map[string]struct {
		resources []string
		want      string
		approve   bool
	}{
		"what is asked for":         {[]string{atNotion}, "ci may not use Notion.", false},
		"a part of it":              {[]string{atNotion, atGithub}, "ci may not use Notion.", true},
		"nothing of it":             {[]string{atGithub}, "", true},
		"whatever the person likes": {nil, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(c *config.Site) { c.SignIn = signInWith(ci) })
			s.asks(registered("Cursor", "https://app.example/cb"), url.Values{"resource": tt.resources})
			page := s.identified(ci.Identity()).get(servicesURL).Body.String()
			if got := strings.Contains(page, "If you allow this"); got != tt.approve {
				t.Errorf("told what happens then: %v", got)
			}
			if got := strings.Contains(page, "may not use"); got != (tt.want != "") || !strings.Contains(page, tt.want) {
				t.Errorf("no %q on:\n%s", tt.want, page)
			}
			if got := strings.Contains(page, `value="approve"`); got != tt.approve {
				t.Errorf("can be approved: %v", got)
			}
		})
	}
}

// The heading says who wants what, in whose name.
func TestWhoWantsWhat(t *testing.T) {
	const cursor = "“\u2068Cursor\u2069” wants to use "
	for name, tt := range map[string]struct {
		resources []string
		who       storage.Identity
		first, at string // the identity page, the services page
	}{
		"one":    {[]string{atNotion}, alice(), "Notion", "Notion as alice"},
		"two":    {[]string{atNotion, atGithub}, alice(), "Notion and github", "Notion and github as alice"},
		"any":    {nil, alice(), "services of mcp.example.com", "services of mcp.example.com as alice"},
		"nobody": {[]string{atGithub}, identity.NewAnonymous(), "github", "github, without an account of yours"},
		"at length": {[]string{atGithub}, storage.Identity{Kind: "user_id", Subject: "user_id:x", Name: strings.Repeat("ä", 255)},
			"github", "github as " + strings.Repeat("ä", 60) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.asks(registered("Cursor", "https://app.example/cb"), url.Values{"resource": tt.resources})
			says := func(target, want string) {
				t.Helper()
				if page := s.get(target).Body.String(); !strings.Contains(page, "<h1>"+cursor+want+"</h1>") {
					_, heading, _ := strings.Cut(page, "<h1>")
					t.Errorf("%s: heading %.200q, want %q", target, heading, want)
				}
			}
			says("/oauth/consent?flow_id=sealed", tt.first)
			s.identified(tt.who)
			says(servicesURL, tt.at)
		})
	}
}
