package consent

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/scopes"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// picked is what a person ticked and left out on the services page, to be so
// again when they come back to it: IDs of servers, and scopes.
type picked struct{ Chosen, Without string }

// pickedOn returns what is ticked in a form of the services page, or what a form
// that they came to from there carries along.
func (p *servicesPage) pickedOn(f *flows.Flow, values map[string][]string) picked {
	offered := p.flows.Servers(f)
	return picked{
		Chosen:  chosenIDs(offered, values["resource"]),
		Without: strings.Join(scopes.Of(f.Scope, offered).LeftOut(values["scope"]), " "),
	}
}

// submit ends the flow as the person decided, and sends the browser back to
// the client. It grants only to the identity that the page showed.
func (p *servicesPage) submit(w http.ResponseWriter, r *http.Request, f *flows.Flow) error {
	if err := p.known.Adopt(r, f); err != nil {
		return flowChanged(p.pages.Text(), f, err)
	}
	if f.Identity == nil {
		p.pages.Redirect(w, pageURL(server.ConsentPath, f, "", "choose", "1"))
		return nil
	}
	if !identity.IsShown(r, *f.Identity) || !p.cfg.SignIn.IsCurrent(r, *f.Identity) {
		return changed(p.pages.Text(), f)
	}
	var err error
	switch r.PostForm.Get("decision") {
	case "approve":
		err = p.approve(w, r, f)
	case "deny":
		err = p.deny(w, r, f)
	default:
		return refuse(http.StatusBadRequest, "bad_form", p.pages.Text().BadRequest)
	}
	return flowChanged(p.pages.Text(), f, err)
}

func (p *servicesPage) approve(w http.ResponseWriter, r *http.Request, f *flows.Flow) error {
	resources := r.PostForm["resource"]
	if len(resources) == 0 {
		return p.again(w, r, f, pages.CodeNoServer, "")
	}
	statuses, err := p.connections.inFlow(r.Context(), f)
	if err != nil {
		return err
	}
	if missing := p.missing(f, resources, statuses); missing != "" {
		return p.again(w, r, f, pages.CodeRequired, missing)
	}
	url, err := p.flows.ApproveAndSignIn(w, r, f, flows.Approval{
		Resources: resources, Scope: r.PostForm["scope"], Connected: connected(statuses),
	})
	if errors.Is(err, flows.ErrNoScope) {
		return p.again(w, r, f, pages.CodeNoScope, "")
	}
	if err != nil {
		return err
	}
	p.pages.Redirect(w, url)
	return nil
}

// again shows the page as it was, with what is wrong.
func (p *servicesPage) again(w http.ResponseWriter, r *http.Request, f *flows.Flow, code, server string) error {
	on := p.pickedOn(f, r.PostForm)
	p.pages.Redirect(w, pageURL(servicesPath, f, code, "server", server, "chosen", on.Chosen, "without", on.Without))
	return nil
}

// missing returns a server that the person chose and must connect first, if
// there is one.
func (p *servicesPage) missing(f *flows.Flow, resources []string, statuses map[string]accounts.Status) string {
	for _, s := range p.flows.Servers(f) {
		if p.connections.perUser(s) && !s.Auth.Optional && slices.Contains(resources, s.Resource) && !works(statuses[s.ID]) {
			return s.ID
		}
	}
	return ""
}

func connected(statuses map[string]accounts.Status) []string {
	var servers []string
	for server, status := range statuses {
		if works(status) {
			servers = append(servers, server)
		}
	}
	return servers
}

// chosenIDs returns the IDs of the servers that are ticked, to tick them again
// when the person comes back.
func chosenIDs(offered []*config.Server, resources []string) string {
	var ids []string
	for _, s := range offered {
		if slices.Contains(resources, s.Resource) {
			ids = append(ids, s.ID)
		}
	}
	return strings.Join(ids, " ")
}

func (p *servicesPage) deny(w http.ResponseWriter, r *http.Request, f *flows.Flow) error {
	if err := p.connections.endInFlow(r.Context(), f); err != nil {
		return err
	}
	url, err := p.flows.Deny(r.Context(), f)
	if err != nil {
		return err
	}
	p.pages.Redirect(w, url)
	return nil
}
