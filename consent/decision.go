package consent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/scopes"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/tools"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// picked is what a person ticked and left out on the services page, to be so
// again when they come back to it: IDs of servers, and scopes.
type picked struct{ Chosen, Without, Tools string }

// pickedIn returns what an address of ours carries along.
func pickedIn(values url.Values) picked {
	return picked{values.Get("chosen"), values.Get("without"), values.Get("tools")}
}

// query returns it as parameters of an address of ours.
func (p picked) query() []string {
	return []string{"chosen", p.Chosen, "without", p.Without, "tools", p.Tools}
}

// pickedOn returns what is ticked in a form of the services page, or what a form
// that they came to from there carries along.
func (p *servicesPage) pickedOn(f *flows.Flow, values map[string][]string) picked {
	offered := p.flows.Servers(f)
	return picked{
		Chosen:  chosenIDs(offered, values["resource"]),
		Without: strings.Join(scopes.Of(f.Scope, offered).LeftOut(values["scope"]), " "),
		Tools:   tools.Read(values).Encode(),
	}
}

// submit ends the flow as the person decided, and sends the browser back to
// the client. It grants only to the identity that the page showed.
func (p *servicesPage) submit(w http.ResponseWriter, r *http.Request, f *flows.Flow) error {
	if err := p.known.AdoptOnSubmit(r, f); err != nil {
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
	selection := tools.Read(r.PostForm)
	ask := r
	if !selection.HasTicks() {
		ask = nil
	}
	offers, _, err := p.offers(r.Context(), ask, f, statuses, selection.HasTicks())
	if err != nil {
		return err
	}
	if server, unreadable := tools.Unreadable(offers, selection, nil); unreadable {
		return p.again(w, r, f, pages.CodeNoTools, server)
	}
	url, err := p.flows.ApproveAndSignIn(w, r, f, flows.Approval{
		Resources: resources, Scope: r.PostForm["scope"], Connected: connected(statuses),
		Chosen: tools.Choices(offers, selection, p.inOrder(f, resources), nil), Lifetime: selection.Lifetime(p.mostLifetime(f.Client)),
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

// offers returns what tools there are to choose among, and with last the grant with which
// the person let the client in before. Without a request to ask for, no server is asked.
func (p *servicesPage) offers(ctx context.Context, ask *http.Request, f *flows.Flow, statuses map[string]accounts.Status, last bool) ([]tools.Offer, *storage.Grant, error) {
	person := tools.Person{Identity: f.Identity, Client: f.Client.ID, Owner: ownerIn(statuses)}
	servers := p.tools.Choosable(p.flows.Servers(f), person)
	if len(servers) == 0 {
		return nil, nil, nil
	}
	var before *storage.Grant
	var chosen []storage.Choice
	if m := p.cfg.SignIn.Of(f.Identity.Kind); last && m != nil && !m.SingleUse {
		var err error
		if before, err = p.grants.Last(ctx, f.Identity.Subject, f.Client.ID); err != nil {
			return nil, nil, err
		}
		if before != nil {
			chosen = before.Chosen
		}
	}
	return p.tools.Offers(ask, servers, person, f.ID, chosen), before, nil
}

// inOrder returns those of the resources that are on offer, as the grant has them.
func (p *servicesPage) inOrder(f *flows.Flow, resources []string) (ordered []string) {
	for _, s := range p.flows.Servers(f) {
		if slices.Contains(resources, s.Resource) {
			ordered = append(ordered, s.Resource)
		}
	}
	return ordered
}

// toolsView asks which tools the client may use. What the person chose on this page goes
// before what they chose the last time.
func (p *servicesPage) toolsView(r *http.Request, f *flows.Flow, statuses map[string]accounts.Status) (*tools.View, error) {
	offers, before, err := p.offers(r.Context(), r, f, statuses, true)
	if err != nil || len(offers) == 0 {
		return nil, err
	}
	t := p.pages.Text()
	var selection tools.Selection
	switch on := r.URL.Query().Get("tools"); {
	case on != "":
		selection = tools.Decode(on)
	case before != nil:
		selection = tools.Of(offers, before)
	}
	return tools.NewView(t, "tools", offers, selection, tools.Asked{Label: t.LastsLabel, Longest: t.LastsLongest, Most: p.mostLifetime(f.Client)}, toolsOf(t)), nil
}

// toolsOf returns how the tools of a server are headed.
func toolsOf(t *pages.Text) func(tools.Offer) string {
	return func(o tools.Offer) string { return fmt.Sprintf(t.ToolsOf, titleOf(o.Server)) }
}

// again shows the page as it was, with what is wrong.
func (p *servicesPage) again(w http.ResponseWriter, r *http.Request, f *flows.Flow, code, server string) error {
	on := p.pickedOn(f, r.PostForm)
	p.pages.Redirect(w, pageURL(servicesPath, f, code, append(on.query(), "server", server)...))
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
