package tools

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Source knows what servers offer to whom.
type Source struct {
	Config  *config.Site
	Catalog *catalog.Catalog
	Asker   Asker // nil if servers cannot be asked
}

// Person is who is shown what there is, for a client.
type Person struct {
	Identity *storage.Identity
	Client   string
	// Owner returns as whom they have connected a server that each person connects, "" if
	// they have not: their own name, or that of a flow.
	Owner func(*config.Server) string
}

// Asker asks servers for their tools.
type Asker interface {
	// Ask has servers asked that were not asked lately, as the person, with the account
	// that they have there. It waits for a short while, and returns what is known then, by
	// the ID of the server. The tools of a server that lists the same to everybody are in
	// the catalog.
	Ask(r *http.Request, p Person, servers []*config.Server) map[string]Told
}

// Told is what a server says to a person.
type Told struct {
	Known bool
	Tools []catalog.Entry
}

// Offer is what there is to choose of one server.
type Offer struct {
	Server *config.Server
	// Tools are those that are offered one by one, in the order of their groups.
	Tools []Tool
	// More is how many there are besides.
	More int
	// Known is false if it is not known what the server has.
	Known bool
	// Unconnected tells that this is because the person has not connected it.
	Unconnected bool

	key string // of the page
}

// Tool is one tool.
type Tool struct {
	Name, Title string
	group       group
}

// group is what a server says that a tool does.
type group int

const (
	reads group = iota
	changes
	destroys
	groups
)

func groupOf(said access.Annotations) group {
	switch {
	case said&access.ReadOnly != 0:
		return reads
	case said&access.NotDestructive != 0:
		return changes
	}
	return destroys
}

// Choosable returns those servers of which somebody may use any tool.
func (s *Source) Choosable(servers []*config.Server, p Person) []*config.Server {
	who := s.Config.Who(p.Identity, p.Client)
	return slices.DeleteFunc(slices.Clone(servers), func(at *config.Server) bool { return at.Rules.Nothing(who, access.Tool) })
}

// Offers returns what somebody can choose, of those servers that are Choosable. What was
// chosen before can be chosen again, also where the server does not list it now. The key
// is that of a page: a flow's or a grant's. Without a request, no server is asked.
func (s *Source) Offers(r *http.Request, servers []*config.Server, p Person, key string, before []storage.Choice) []Offer {
	var offers []Offer
	who := s.Config.Who(p.Identity, p.Client)
	servers = s.Choosable(servers, p)
	told := s.ask(r, p, servers)
	for _, at := range servers {
		o := Offer{Server: at, key: key, Known: told[at.ID].Known, Unconnected: !isConnected(at, p)}
		o.take(s.listed(at, told[at.ID]), who)
		o.add(before)
		slices.SortStableFunc(o.Tools, func(a, b Tool) int { return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.Name, b.Name)) })
		if most := storage.MaxChosen / len(servers); len(o.Tools) > most {
			o.Tools, o.More = o.Tools[:most], len(o.Tools)-most
		}
		offers = append(offers, o)
	}
	return offers
}

// ask has servers asked that have an account of the person's, or need none.
func (s *Source) ask(r *http.Request, p Person, servers []*config.Server) map[string]Told {
	if r == nil || s.Asker == nil {
		return nil
	}
	return s.Asker.Ask(r, p, slices.DeleteFunc(slices.Clone(servers), func(at *config.Server) bool { return !isConnected(at, p) }))
}

// isConnected reports whether there is an account of the person's at a server that
// needs one.
func isConnected(at *config.Server, p Person) bool {
	return at.Auth == nil || !at.Auth.Mode.PerUser() || p.Owner(at) != ""
}

// listed returns the tools that a person is shown of a server. Where it may list
// others to each person, that is what it listed to them alone.
func (s *Source) listed(at *config.Server, told Told) []catalog.Entry {
	if at.ListsByAccount() {
		return told.Tools
	}
	return s.Catalog.Of(s.Config.Issuer, at.Configured().ID).All(access.Tool)
}

// take adds those tools that somebody may use.
func (o *Offer) take(listed []catalog.Entry, who access.Who) {
	for _, e := range listed {
		o.Known = true
		item := access.Item{Kind: access.Tool, Name: e.Name, Annotations: e.Annotations, Open: true}
		if canBeChosen(e.Name) && o.Server.Rules.Decide(who, item).Allowed {
			o.Tools = append(o.Tools, Tool{e.Name, e.Title, groupOf(e.Annotations)})
		}
	}
}

// add adds what was chosen before.
func (o *Offer) add(before []storage.Choice) {
	known := make(map[string]bool, len(o.Tools))
	for _, t := range o.Tools {
		known[t.Name] = true
	}
	for _, c := range before {
		if c.Resource != o.Server.Resource {
			continue
		}
		for _, name := range slices.Concat(c.Tools, c.Without) {
			if !known[name] {
				o.Tools = append(o.Tools, Tool{Name: name, group: destroys})
			}
		}
	}
}

// canBeChosen reports whether a tool of the name can be chosen by itself. Others count
// as those that the server offers later.
func canBeChosen(name string) bool {
	return name != "" && len(name) <= storage.MaxChosenLength && utf8.ValidString(name)
}

// tickLength is how long a tick is. Nobody can make two names with the same one: they
// would have to know the key.
const tickLength = 8

func (o *Offer) tick(name string) string {
	sum := sha256.Sum256([]byte(o.key + "\x00" + o.Server.ID + "\x00" + name))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:tickLength]
}
