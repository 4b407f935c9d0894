package adminapi

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// AccessPath is where access rules are explained.
const AccessPath = "/mcp_oauth/access"

var accessRoutes = []route{{
	method: http.MethodGet, path: AccessPath,
	about: "Whether a person may use a tool, a resource or a prompt of a server, and which access rule decides. " +
		"For the server as a whole, and all that it is known to have, leave `name` out.",
	query: []parameter{
		siteParameter,
		{name: "subject", required: true, about: "Who, as `virtual_key:alice`; or a name, if one person only is known here by it."},
		{name: "server", required: true, about: "The id of the MCP server."},
		{name: "name", about: "The name of the tool or prompt, or the URI of the resource."},
		{name: "kind", kind: choiceKind, choices: []string{"tool", "resource", "prompt"}, about: "What has the name. Default: `tool`."},
		{name: "client", about: "The client ID of the application that calls for them. Default: any."},
	},
	answer: Access{}, fails: []int{http.StatusNotFound}, serve: showAccess,
}}

// Access is whether somebody may use something.
type Access struct {
	Site    string `json:"site"`
	Subject string `json:"subject"`
	Server  string `json:"server"`
	Decided
	// Items are, if no name was asked for, what the server said that it has, as far as it
	// listed it through this site.
	Items []Decided `json:"items,omitempty"`
}

// Decided is what is decided about one thing.
type Decided struct {
	Kind    string `json:"kind,omitempty"`
	Name    string `json:"name,omitempty"`
	Allowed bool   `json:"allowed"`
	Why     string `json:"why"`              // in words
	Rule    string `json:"rule,omitempty"`   // the rule that decides, as in a Caddyfile
	Number  int    `json:"number,omitempty"` // which of the rules for its kind that is, from 1
	// Unknown is what it can depend on and is not known here: `annotations` of the tool,
	// for which MCP's defaults are taken, its `arguments`, or the `claims` of somebody
	// who has not signed in.
	Unknown []string `json:"unknown,omitempty"`
	// Scopes and ProviderScopes are what a call needs besides: of the access token, and of
	// the account that they connected.
	Scopes         []string `json:"scopes,omitempty"`
	ProviderScopes []string `json:"provider_scopes,omitempty"`
	// NotChosen are the grants in which they do not let their client use it.
	NotChosen []NarrowedGrant `json:"not_chosen,omitempty"`
}

// NarrowedGrant is a grant with which a client may use less than its person.
type NarrowedGrant struct {
	Grant      string `json:"grant"`
	Client     string `json:"client"`
	ClientName string `json:"client_name,omitempty"`
}

func showAccess(c *call) (any, error) {
	operator, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	a := Access{Server: c.query.Get("server")}
	site, err := siteWith(sites, a.Server)
	if err != nil {
		return nil, err
	}
	a.Site = site.Issuer
	if a.Subject, err = operator.subjectOf(c.Context(), site, c.query.Get("subject")); err != nil {
		return nil, err
	}
	cfg, client := site.Server.Config(), c.query.Get("client")
	if none := cfg.NoClient(client); client != "" && none != "" {
		return nil, apiError(http.StatusNotFound, none)
	}
	id, isService := cfg.SignIn.Service(a.Subject)
	if none := nobodyIs(cfg, a.Subject); none != "" {
		return nil, apiError(http.StatusNotFound, "nobody is known here as "+strconv.Quote(a.Subject)+": "+none)
	}
	if !isService {
		id, err = operator.identityOf(c.Context(), site, a.Subject)
	}
	if err != nil {
		return nil, failure(err)
	}
	e := explainer{site: site, server: cfg.Server(a.Server), id: &id, client: client}
	if a.Decided = e.whole(); !a.Allowed {
		return a, nil
	}
	if e.grants, err = operator.Store.GrantsOf(c.Context(), a.Site, a.Subject, time.Now()); err != nil {
		return nil, failure(err)
	}
	kind := cmp.Or(c.query.Get("kind"), "tool")
	if name := c.query.Get("name"); name != "" {
		a.Decided = e.item(kinds[kind], name)
		return a, nil
	}
	for _, k := range []access.Kind{access.Tool, access.ResourceTemplate, access.Prompt} {
		for _, entry := range site.Offers(e.server.Configured().ID).All(k) {
			if given := c.query.Get("kind"); given == "" || kinds[given] == k {
				a.Items = append(a.Items, e.item(k, entry.Name))
			}
		}
	}
	return a, nil
}

// kinds are those that can be asked for.
var kinds = map[string]access.Kind{"tool": access.Tool, "resource": access.Resource, "prompt": access.Prompt}

// explainer decides for somebody at a server, and says why.
type explainer struct {
	site   *Site
	server *config.Server
	id     *storage.Identity
	client string
	grants []storage.Grant
}

// unknown is what is not known of the person.
func (e *explainer) unknown() []string {
	if e.id.Claims == nil && e.site.Server.Config().NeedsClaims(e.server) && e.id.Kind != string(identity.VirtualKey) && !identity.IsService(e.id.Kind) {
		return []string{"claims"}
	}
	return nil
}

// whole decides about the server as a whole.
func (e *explainer) whole() Decided {
	cfg, d := e.site.Server.Config(), Decided{Unknown: e.unknown()}
	key := e.id.Kind == string(identity.VirtualKey)
	switch {
	case !key && !cfg.SignIn.MayUse(*e.id, e.server.ID), key && !keyAllows(cfg, e.id.Name, e.server.ID):
		d.Why = "no identity or key of theirs is good for this server"
	case !cfg.Admits(e.server, e.id):
		d.Why = "they may use nothing of the server: it is not for them by its allow, or its rules leave nothing"
	default:
		d.Allowed, d.Why = true, "they may use the server"
	}
	return d
}

// item decides about a tool, resource or prompt.
func (e *explainer) item(kind access.Kind, name string) Decided {
	who := e.site.Server.Config().Who(e.id, e.client)
	who.AnyClient = who.Client == ""
	said := e.said(kind, name)
	item := access.Item{Kind: kind, Name: name, Annotations: said, Open: true}
	decision := e.server.Rules.Decide(who, item)
	d := Decided{Kind: kind.String(), Name: name, Allowed: decision.Allowed, Why: "there are no rules for it", Unknown: e.unknown()}
	switch {
	case decision.Rule == nil && !decision.Allowed:
		d.Why = "no rule allows it"
	case decision.Rule == nil && e.server.Rules.Has(kind):
		d.Why = "no rule denies it"
	}
	needs := e.server.Rules.Scopes(kind, name)
	d.Scopes, d.ProviderScopes = needs.Own, needs.Provider
	for _, of := range e.server.AccessRules() {
		for i := range of.Rules {
			if decision.Rule == &of.Rules[i] {
				d.Rule, d.Number, d.Why = decision.Rule.String(), i+1, "the rule decides"
			}
		}
	}
	if decision.NeedsAnnotations {
		d.Unknown = append(d.Unknown, "annotations")
	}
	if decision.NeedsArguments {
		d.Unknown = append(d.Unknown, "arguments")
	}
	if kind == access.Tool {
		e.narrow(&d, item)
	}
	if d.Allowed && kind == access.Tool && e.holdsBack(name) {
		d.Allowed, d.Why = false, pins.NotApproved+": "+pins.ApproveCommand(e.server.Configured().ID, name)
	}
	return d
}

// said returns what the server says of an item to the client or, without one, to some
// client of theirs.
func (e *explainer) said(kind access.Kind, name string) (said access.Annotations) {
	clients := []string{e.client}
	for i := range e.grants {
		if e.client == "" {
			clients = append(clients, e.grants[i].ClientID)
		}
	}
	for _, client := range clients {
		if said = e.site.Offers(e.server.Configured().ID).LookFor(e.server.ViewThrough(e.id.Subject, client), kind, name); said != 0 {
			break
		}
	}
	return said
}

// narrow tells in which grants the person does not let a client use a tool, and that it
// may not if that is so of all those of the client that was asked for.
func (e *explainer) narrow(d *Decided, tool access.Item) {
	lets := false
	for _, g := range e.grants {
		if !slices.Contains(g.Resources, e.server.Resource) || e.client != "" && e.client != g.ClientID {
			continue
		}
		who := access.Who{Identity: &g.Identity, Chosen: access.NewChoices(g.Chosen).At(e.server.Resource)}
		decision := (*access.Rules)(nil).Decide(who, tool)
		if decision.NeedsAnnotations && !slices.Contains(d.Unknown, "annotations") {
			d.Unknown = append(d.Unknown, "annotations")
		}
		if decision.Allowed {
			lets = true
			continue
		}
		d.NotChosen = append(d.NotChosen, NarrowedGrant{g.ID, g.ClientID, g.ClientName})
	}
	if e.client != "" && d.Allowed && !lets && len(d.NotChosen) > 0 {
		d.Allowed, d.Why = false, "they do not let the application use it"
	}
}

// holdsBack reports whether the tool is held back for everybody, as far as that is
// known.
func (e *explainer) holdsBack(name string) bool {
	server := e.server.Configured()
	if server.PinTools == nil || server.PinTools.Mode != config.PinHold {
		return false
	}
	states, pinnedAt := e.site.Pinned(server.ID).List()
	i := slices.IndexFunc(states, func(s pins.State) bool { return s.Name == name })
	return !pinnedAt.IsZero() && (i < 0 || states[i].Current() == nil || len(states[i].Pending) > 0)
}

// keyAllows reports whether there is a virtual key of a name that is good for a
// server.
func keyAllows(cfg *config.Site, name, server string) bool {
	return slices.ContainsFunc(cfg.Keys.Set().All(), func(k identity.Key) bool { return k.Name == name && k.Allows(server) })
}
