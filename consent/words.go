package consent

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// describeScopes lists the scopes of the request that this server knows. A
// client has no say in how they are described.
func (c *Consent) describeScopes(f *authz.Flow, s authz.Server) []scopeView {
	var views []scopeView
	for _, scope := range f.Scope {
		if !slices.Contains(s.Scopes, scope) && !slices.Contains(s.OptionalScopes, scope) {
			continue
		}
		if scope == oauth.ConnectScope(s.ID) {
			continue // the connection itself is shown
		}
		v := scopeView{Name: scope, Description: c.as.Config().Scopes[scope], ShowName: true}
		if v.Description == "" && scope == defaultScope {
			v.Description = c.pages.text.ScopeUse
		}
		if v.Description == "" {
			v.Description, v.ShowName = scope, false
		}
		views = append(views, v)
	}
	return views
}

// defaultScope is the one that needs no description by the operator.
const defaultScope = "mcp:use"

// address returns a resource without its scheme.
func address(resource string) string {
	u, err := url.Parse(resource)
	if err != nil {
		return onlyASCII(resource)
	}
	return hostOf(u) + u.EscapedPath()
}

// stays tells how long the access will last.
func (c *Consent) stays(client *authz.Client) string {
	t, l := c.pages.text, c.as.Config().Lifetimes
	if slices.Contains(client.Metadata.GrantTypes, "refresh_token") {
		return fmt.Sprintf(t.StaysRenewed, t.duration(l.RefreshToken), t.duration(l.AbsoluteGrant))
	}
	return fmt.Sprintf(t.Stays, t.duration(l.Grant))
}

// duration puts a lifetime into words, in the largest unit that fits.
func (t *text) duration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return t.Day
	case d > day && d%day == 0:
		return fmt.Sprintf(t.Days, d/day)
	case d == time.Hour:
		return t.Hour
	case d > time.Hour && d%time.Hour == 0:
		return fmt.Sprintf(t.Hours, d/time.Hour)
	case d < 90*time.Second:
		return t.Minute
	default:
		return fmt.Sprintf(t.Minutes, d.Round(time.Minute)/time.Minute)
	}
}
