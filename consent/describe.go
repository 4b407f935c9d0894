package consent

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/tools"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// describer puts clients, scopes, grants and people into words.
type describer struct {
	cfg  *config.Site
	text *pages.Text
	site string // the issuer's host, as people see it
}

// clientView is what a person is told of a client, by what can be relied on:
// where the code will be sent comes from the request itself, the publisher of a
// metadata document from the address it was fetched from, the name from nobody.
type clientView struct {
	Name        string
	Registered  bool // by the operator, so the name is right
	Publisher   string
	Destination string
	Address     string // the whole redirect URI
	App         bool   // the destination is an app on the device
	Warnings    []string
}

// client describes the client of a flow.
func (d *describer) client(f *flows.Flow) clientView {
	v := d.namedClient(f.Client.Metadata.ClientName, f.Client.Origin == clients.Preregistered, f.RedirectURI)
	if f.Client.Origin != clients.MetadataDocument {
		return v
	}
	if u, err := url.Parse(f.Client.ID); err == nil {
		v.Publisher = hostOf(u)
	}
	if redirect, err := url.Parse(f.RedirectURI); err == nil && onTheWeb(redirect) && v.Publisher != "" && v.Publisher != v.Destination {
		v.Warnings = append(v.Warnings, fmt.Sprintf(d.text.WarnForeignHost, v.Publisher, v.Destination))
	}
	return v
}

// namedClient tells what a request alone says of a client.
func (d *describer) namedClient(name string, registered bool, redirectURI string) clientView {
	t := d.text
	v := clientView{Name: cmp.Or(quote(cleanName(name)), t.UnnamedClient), Registered: registered}
	redirect, err := url.Parse(redirectURI)
	if err != nil {
		v.Destination = onlyASCII(redirectURI)
		return v
	}
	v.Address = addressOf(redirect)
	switch {
	case onTheWeb(redirect):
		v.Destination = hostOf(redirect)
	case isLoopback(redirect):
		v.Destination = fmt.Sprintf(t.ThisComputer, hostOf(redirect))
		v.Warnings = append(v.Warnings, t.WarnLoopback)
	default:
		v.App = true
		v.Destination = fmt.Sprintf(t.AppLinks, onlyASCII(redirect.Scheme))
		v.Warnings = append(v.Warnings, fmt.Sprintf(t.WarnAppLinks, onlyASCII(redirect.Scheme)))
	}
	return v
}

// subject names the client of a flow at the beginning of a sentence.
func (d *describer) subject(f *flows.Flow) string {
	return cmp.Or(quote(cleanName(f.Client.Metadata.ClientName)), d.text.AnApplication)
}

// what names the servers that a client asks for.
func (d *describer) what(f *flows.Flow, servers []*config.Server) string {
	if len(f.Resources) > 0 {
		servers = d.cfg.ServersAt(f.Resources)
	}
	switch {
	case len(servers) == 0 || len(f.Resources) == 0 && len(servers) > 1:
		return fmt.Sprintf(d.text.ServicesOf, d.site)
	case len(servers) > maxNamed:
		return fmt.Sprintf(d.text.CountOf, len(servers), d.site)
	}
	return d.text.List(titlesOf(servers))
}

// maxNamed is how many servers a heading names.
const maxNamed = 3

// grantView is a client that a person let in.
type grantView struct {
	ID      string
	Client  clientView
	Servers []string
	Scopes  []scopeView
	Tools   []string // what is chosen, in words; none if that is everything
	Since   string
	Used    string
	Ends    string
	Choose  *tools.View // nil if there is nothing to choose
}

func (d *describer) grant(g storage.Grant) grantView {
	registered := slices.ContainsFunc(d.cfg.Clients, func(client config.Client) bool { return client.ID == g.ClientID })
	v := grantView{
		ID: g.ID, Client: d.namedClient(g.ClientName, registered, g.RedirectURI),
		Since: date(g.CreatedAt), Used: date(g.LastUsedAt), Ends: date(g.AbsoluteExpiresAt),
	}
	for _, c := range g.Chosen {
		for _, s := range d.cfg.ServersAt([]string{c.Resource}) {
			v.Tools = append(v.Tools, tools.Summary(d.text, c, titleOf(s)))
		}
	}
	v.Servers = titlesOf(d.cfg.ServersAt(g.Resources))
	for _, scope := range g.Scope {
		if !strings.HasPrefix(scope, oauth.ConnectScope("")) { // the connections are shown
			v.Scopes = append(v.Scopes, d.scope(scope, d.cfg.ServersAt(g.Resources)...))
		}
	}
	return v
}

// scopeView is a scope in the operator's words, or by its name.
type scopeView struct {
	Name        string
	Description string
	ShowName    bool
}

// scope describes one scope, as it is for some servers: rules may leave less than its
// words say.
func (d *describer) scope(name string, at ...*config.Server) scopeView {
	v := scopeView{Name: name, Description: d.cfg.DescribeScope(name), ShowName: true}
	if v.Description == "" && name == oauth.DefaultScope {
		v.Description = d.text.ScopeUse
		if slices.ContainsFunc(at, func(s *config.Server) bool { return s.Rules.Has(access.Tool) }) {
			v.Description = d.text.ScopeUseRules
		}
	}
	if v.Description == "" {
		v.Description, v.ShowName = name, false
	}
	return v
}

// mostLifetime returns how long the access can last.
func (d *describer) mostLifetime(client *clients.Client) time.Duration {
	if client.AllowsGrant(oauth.GrantRefreshToken) {
		return time.Duration(d.cfg.AbsoluteGrantLifetime)
	}
	return time.Duration(d.cfg.GrantLifetime)
}

// lifetime tells how long the access will last.
func (d *describer) lifetime(client *clients.Client) string {
	t, l := d.text, d.cfg.Lifetimes
	if slices.Contains(client.Metadata.GrantTypes, "refresh_token") {
		return fmt.Sprintf(t.StaysRenewed, t.Duration(time.Duration(l.RefreshTokenLifetime)), t.Duration(time.Duration(l.AbsoluteGrantLifetime)))
	}
	return fmt.Sprintf(t.Stays, t.Duration(time.Duration(l.GrantLifetime)))
}

// person returns what somebody recognises themselves by, and how they signed in.
func (d *describer) person(id storage.Identity) (name, proof string) {
	if m := d.cfg.SignIn.Of(id.Kind); m != nil {
		proof = m.Label
	}
	return cmp.Or(id.Name, d.text.Nobody), proof
}

// notice is a message on top of a page: why what the person tried did not
// work. It is made of our own words alone; a link can choose among them.
type notice struct {
	Server    string // its title, if the message is about one
	Text      string
	Reference string // correlation id
}

func (d *describer) notice(r *http.Request) notice {
	query := r.URL.Query()
	code := query.Get("error")
	n := notice{Text: cmp.Or(d.text.Refused[code], d.cfg.SignIn.Message(code))}
	if n.Text == "" {
		return n
	}
	if s := d.cfg.Server(query.Get("server")); s != nil {
		n.Server = titleOf(s)
	}
	if id, err := uuid.Parse(query.Get("ref")); err == nil {
		n.Reference = id.String()
	}
	return n
}
