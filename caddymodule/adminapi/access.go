package adminapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// AccessPath is where access rules are explained.
const AccessPath = "/mcp_oauth/access"

var accessRoutes = []route{{
	method: http.MethodGet, path: AccessPath,
	about: "Whether a person may use a tool, a resource or a prompt of a server, and which access rule decides. " +
		"For the server as a whole, leave `name` out.",
	query: []parameter{
		siteParameter,
		{name: "subject", required: true, about: "Who, as `virtual_key:alice`."},
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
}

func showAccess(c *call) (any, error) {
	operator, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	a := Access{Subject: c.query.Get("subject"), Server: c.query.Get("server"), Name: c.query.Get("name")}
	if err := c.checkSubject(a.Subject); err != nil {
		return nil, err
	}
	sites = slices.DeleteFunc(slices.Clone(sites), func(s *Site) bool { return s.Server.Config().Server(a.Server) == nil })
	switch len(sites) {
	case 0:
		return nil, apiError(http.StatusNotFound, "there is no server "+strconv.Quote(a.Server))
	case 1:
	default:
		return nil, apiError(http.StatusBadRequest, "several sites have a server "+strconv.Quote(a.Server)+"; say which with site")
	}
	a.Site = sites[0].Issuer
	id, err := operator.identityOf(c.Context(), a.Site, a.Subject)
	if err != nil {
		return nil, failure(err)
	}
	a.explain(sites[0].Server.Config(), &id, c.query)
	return a, nil
}

// identityOf returns what is known of somebody. Of those without a record, that is
// what their subject says.
func (o *Operator) identityOf(ctx context.Context, issuer, subject string) (storage.Identity, error) {
	kind, name, _ := strings.Cut(subject, ":")
	id := storage.Identity{Kind: kind, Subject: subject, Name: name}
	record, err := o.Store.Person(ctx, issuer, subject, time.Now())
	if errors.Is(err, storage.ErrNotFound) {
		return id, nil
	}
	id.Kind, id.Name, id.Claims = record.Kind, record.Name, record.Claims
	return id, err
}

// explain decides, and says why.
func (a *Access) explain(cfg *config.Site, id *storage.Identity, query url.Values) {
	server := cfg.Server(a.Server)
	if id.Claims == nil && cfg.NeedsClaims(server) && id.Kind != string(identity.VirtualKey) {
		a.Unknown = append(a.Unknown, "claims")
	}
	key := id.Kind == string(identity.VirtualKey)
	if !key && !cfg.SignIn.MayUse(*id, a.Server) || key && !keyAllows(cfg, id.Name, a.Server) {
		a.Why = "no identity or key of theirs is good for this server"
		return
	}
	if !cfg.Admits(server, id) {
		a.Why = "they may use nothing of the server: it is not for them by its allow, or its rules leave nothing"
		return
	}
	if a.Allowed, a.Why = true, "they may use the server"; a.Name == "" {
		return
	}
	a.Kind = cmp.Or(query.Get("kind"), "tool")
	kinds := map[string]access.Kind{"tool": access.Tool, "resource": access.Resource, "prompt": access.Prompt}
	who := cfg.Who(id, query.Get("client"))
	who.AnyClient = who.Client == ""
	d := server.Rules.Decide(who, access.Item{Kind: kinds[a.Kind], Name: a.Name, Open: true})
	a.Allowed, a.Why = d.Allowed, "there are no rules for it"
	for _, of := range server.AccessRules() {
		for i := range of.Rules {
			if d.Rule == &of.Rules[i] {
				a.Rule, a.Number, a.Why = d.Rule.String(), i+1, "the rule decides"
			}
		}
	}
	if d.Rule == nil && server.Rules.Has(kinds[a.Kind]) {
		a.Why = "no rule allows it"
	}
	if d.NeedsAnnotations {
		a.Unknown = append(a.Unknown, "annotations")
	}
	if d.NeedsArguments {
		a.Unknown = append(a.Unknown, "arguments")
	}
}

// keyAllows reports whether there is a virtual key of a name that is good for a
// server.
func keyAllows(cfg *config.Site, name, server string) bool {
	return slices.ContainsFunc(cfg.Keys.Set().All(), func(k identity.Key) bool { return k.Name == name && k.Allows(server) })
}
