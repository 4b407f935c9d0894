package consent

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// serverView is one MCP server the client may get access to.
type serverView struct {
	Title    string
	Address  string
	Resource string
	Scopes   []scopeView
	Chosen   bool
}

// scopeView is a scope in the operator's words, or by its name.
type scopeView struct {
	Name        string
	Description string
	ShowName    bool
}

// showServices asks what the client may do.
func (c *Consent) showServices(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	if f.Identity == nil || !c.stillUser(r, *f.Identity) {
		return c.askAgain(w, f, "")
	}
	t := c.pages.text
	servers := c.describeServers(f)
	name, proof := c.nameOf(*f.Identity)
	return c.pages.render(w, http.StatusOK, "services", struct {
		frame
		fields
		Client                                 clientView
		Lead, Refused                          string
		Identity, Proof, IdentityDigest, Stays string
		ChangeURL                              string
		Servers                                []serverView
		Choose, Declared                       bool
	}{
		frame:          c.pages.frame(t.ServicesTitle),
		fields:         fieldsOf(f),
		Client:         c.describe(f),
		Lead:           fmt.Sprintf(t.ServicesLead, c.site),
		Refused:        t.Refused[r.URL.Query().Get("error")],
		Identity:       name,
		Proof:          proof,
		IdentityDigest: digest(*f.Identity),
		Stays:          c.stays(f.Client),
		ChangeURL:      pageURL(authz.ConsentPath, f, ""),
		Servers:        servers,
		Choose:         len(servers) > 1,
		Declared:       f.Identity.Kind == string(identity.UserID),
	})
}

// stillUser reports whether the identity is not one of Caddy's users, or the
// one who is signed in to the site now.
func (c *Consent) stillUser(r *http.Request, id storage.Identity) bool {
	if id.Kind != string(identity.Caddy) {
		return true
	}
	user, ok := identity.FromContext(r.Context())
	return ok && user.Subject == id.Subject
}

// nameOf returns what a person recognises themselves by, and what vouches for it.
func (c *Consent) nameOf(id storage.Identity) (name, proof string) {
	t := c.pages.text
	switch identity.Kind(id.Kind) {
	case identity.VirtualKey:
		return id.Name, t.ByKey
	case identity.UserID:
		return id.Name, t.Declared
	case identity.Caddy:
		return id.Name, t.ByServer
	default:
		return cmp.Or(id.Name, t.Nobody), ""
	}
}

// describeServers lists what the person can grant. What the client asked for
// is chosen beforehand, and so is a server that is the only one.
func (c *Consent) describeServers(f *authz.Flow) []serverView {
	servers := c.as.Servers(f)
	views := make([]serverView, len(servers))
	for i, s := range servers {
		views[i] = serverView{
			Title: cmp.Or(s.Title, s.ID), Address: address(s.Resource), Resource: s.Resource,
			Scopes: c.describeScopes(f, s),
			Chosen: len(f.Resources) > 0 || len(servers) == 1,
		}
	}
	return views
}

// describeScopes lists the scopes of the request that this server knows. A
// client has no say in how they are described.
func (c *Consent) describeScopes(f *authz.Flow, s authz.Server) []scopeView {
	var views []scopeView
	for _, scope := range f.Scope {
		if !slices.Contains(s.Scopes, scope) && !slices.Contains(s.OptionalScopes, scope) {
			continue
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
