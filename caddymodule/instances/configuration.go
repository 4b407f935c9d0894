package instances

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// Configuration is one of this process.
type Configuration struct {
	// Store tells the store from others, in words for operators.
	Store string
	// Loaded is when it was loaded.
	Loaded time.Time
	Ring   *seal.Keyring
	// Events are told of differences.
	Events *event.Recorder

	sites map[string]map[string]string // the parts of each, by issuer
}

// AddSite adds a site. What of it may differ between instances is left out.
func (c *Configuration) AddSite(site *config.Site) {
	if c.sites == nil {
		c.sites = map[string]map[string]string{}
	}
	c.sites[site.Issuer] = partsOf(site)
}

// about is what an instance says of itself.
type about struct {
	Version    string    `json:"version"`
	Configured time.Time `json:"configured"`
	Keys       []string  `json:"keys"`    // as they are configured
	Sealing    string    `json:"sealing"` // the one that seals, and under which the digests are made
	// Sites are the digests of the parts of each, by issuer.
	Sites map[string]map[string]string `json:"sites"`
}

// digestSize is short: digests tell whether two configurations are equal, and
// whoever can make two that are not needs no digest for it.
const digestSize = 8

func (c *Configuration) about(version string) about {
	a := about{Version: version, Configured: c.Loaded.UTC(), Keys: c.Ring.IDs(), Sealing: c.Ring.Sealing(), Sites: map[string]map[string]string{}}
	macs := seal.NewMACs(c.Ring.Derive("configuration digest")[0])
	for issuer, parts := range c.sites {
		digests := map[string]string{}
		for name, text := range parts {
			sum := macs.Sum(0, issuer, name, text)
			digests[name] = hex.EncodeToString(sum[:digestSize])
		}
		a.Sites[issuer] = digests
	}
	return a
}

// filePlaceholder stands for what is in a file, which may be elsewhere on another
// machine.
var filePlaceholder = regexp.MustCompile(`\{file\.[^{}]*\}`)

// partsOf returns what must be equal at all instances, by names that operators know:
// those of the options. A new option is among them unless it is taken out here.
func partsOf(site *config.Site) map[string]string {
	s := *site
	s.PublicURL, s.Servers, s.Branding = "", nil, nil
	s.Clients, s.VirtualKeys = clientsOf(site), keysOf(site)
	s.Identities, s.Registration = identitiesOf(site), registrationOf(site)
	var members map[string]json.RawMessage
	if err := json.Unmarshal(textOf(s), &members); err != nil {
		panic(err) // what was just written
	}
	parts := map[string]string{}
	for name, text := range members {
		parts[name] = string(text)
	}
	if site.Branding != nil { // the path of the logo may differ
		parts["branding"] = string(textOf([]string{site.Branding.Name, site.Branding.Accent}))
	}
	for _, server := range site.Servers {
		parts["server "+server.ID] = string(textOf(serverOf(server)))
	}
	return parts
}

// serverOf leaves out how this instance reaches the server, unless accounts are bound
// to it.
func serverOf(server *config.Server) *config.Server {
	s := *server
	s.ReverseProxy, s.MetricTools, s.Headers = nil, nil, nil
	if s.Auth == nil {
		s.Upstream = ""
	}
	return &s
}

func clientsOf(site *config.Site) []config.Client {
	all := slices.Clone(site.Clients)
	for i := range all {
		all[i].Secret = hashText(all[i].SecretHash)
	}
	slices.SortFunc(all, func(a, b config.Client) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// keysOf has the keys of the configuration. One in a file may be new here already.
func keysOf(site *config.Site) []config.VirtualKey {
	all := slices.Clone(site.VirtualKeys)
	for i, k := range all {
		all[i].Key = ""
		if k.InFile() {
			continue
		}
		for _, known := range site.Keys.Set().All() {
			if known.Name == k.Name && !known.Stored {
				all[i].Key = hashText(&known.Hash)
			}
		}
	}
	slices.SortFunc(all, func(a, b config.VirtualKey) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func identitiesOf(site *config.Site) []config.Identity {
	all := slices.Clone(site.Identities)
	for i := range all {
		if all[i].Workload != nil {
			w := *all[i].Workload
			t := w.Trust()
			w.JWKS, w.CA = string(textOf(t.Keys)), fmt.Sprint(t.RootCAs != nil) // what is behind the placeholders
			all[i].Workload = &w
		}
		if all[i].Dashboard == nil {
			continue
		}
		d := *all[i].Dashboard
		d.Secret, d.PublicKey = "", string(textOf(d.Trust)) // what is behind the placeholders
		all[i].Dashboard = &d
	}
	return all
}

func registrationOf(site *config.Site) *config.Registration {
	if site.Registration == nil {
		return nil
	}
	r := *site.Registration
	if r.TokenHash != nil {
		r.InitialAccessToken = hashText(r.TokenHash)
	}
	return &r
}

func hashText(h *storage.Hash) string {
	if h == nil {
		return ""
	}
	return hex.EncodeToString(h[:])
}

func textOf(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // these types can all be written
	}
	return filePlaceholder.ReplaceAll(text, []byte("{file}"))
}
