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
	App         bool // the destination is an app on the device
	Warnings    []string
}

func (c *Consent) describe(f *authz.Flow) clientView {
	t := c.pages.text
	v := clientView{
		Name:       quote(cleanName(f.Client.Metadata.ClientName)),
		Registered: f.Client.Origin == authz.Preregistered,
	}
	v.Name = cmp.Or(v.Name, t.UnnamedClient)
	if f.Client.Origin == authz.MetadataDocument {
		if u, err := url.Parse(f.Client.ID); err == nil {
			v.Publisher = hostOf(u)
		}
	}
	redirect, err := url.Parse(f.RedirectURI)
	if err != nil {
		v.Destination = onlyASCII(f.RedirectURI)
		return v
	}
	switch {
	case redirect.Scheme != "https" && redirect.Scheme != "http":
		v.App = true
		v.Destination = fmt.Sprintf(t.AppLinks, onlyASCII(redirect.Scheme))
		v.Warnings = append(v.Warnings, fmt.Sprintf(t.WarnAppLinks, onlyASCII(redirect.Scheme)))
	case isLoopback(redirect):
		v.Destination = fmt.Sprintf(t.ThisComputer, hostOf(redirect))
		v.Warnings = append(v.Warnings, t.WarnLoopback)
	default:
		v.Destination = hostOf(redirect)
		if v.Publisher != "" && v.Publisher != v.Destination {
			v.Warnings = append(v.Warnings, fmt.Sprintf(t.WarnForeignHost, v.Publisher, v.Destination))
		}
	}
	return v
}

// quote marks where a stranger's words begin and end, and keeps their
// direction of writing inside.
func quote(name string) string {
	if name == "" {
		return ""
	}
	return "“\u2068" + strings.NewReplacer("“", "'", "”", "'").Replace(name) + "\u2069”"
}
