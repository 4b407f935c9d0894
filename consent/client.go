package consent

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
)

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

func (c *Consent) describe(f *authz.Flow) clientView {
	v := c.describeClient(f.Client.Metadata.ClientName, f.Client.Origin == authz.Preregistered, f.RedirectURI)
	if f.Client.Origin != authz.MetadataDocument {
		return v
	}
	if u, err := url.Parse(f.Client.ID); err == nil {
		v.Publisher = hostOf(u)
	}
	if redirect, err := url.Parse(f.RedirectURI); err == nil && onTheWeb(redirect) && v.Publisher != "" && v.Publisher != v.Destination {
		v.Warnings = append(v.Warnings, fmt.Sprintf(c.pages.text.WarnForeignHost, v.Publisher, v.Destination))
	}
	return v
}

// describeClient tells what a request alone says of a client.
func (c *Consent) describeClient(name string, registered bool, redirectURI string) clientView {
	t := c.pages.text
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
