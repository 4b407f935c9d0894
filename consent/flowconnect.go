package consent

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/known"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// flowConnect takes the buttons and forms with which people connect a server
// in a flow.
type flowConnect struct {
	*web
	*describer
	flows       *flows.Flows
	known       *known.People
	connections *connections
	services    *servicesPage
}

// accept takes a button or form with which the person connects a server. That is
// their consent: the page has named the client, where it sends them, and what is
// asked of the provider (MCP security best practices, confused deputy).
func (p *flowConnect) accept(connect connectHandler) flowHandler {
	return func(w http.ResponseWriter, r *http.Request, f *flows.Flow) error {
		if err := p.known.Adopt(r, f); err != nil {
			return flowChanged(p.text, f, err)
		}
		c, err := p.target(r, f, r.PostForm)
		if err != nil {
			return err
		}
		return connect(w, r, c)
	}
}

// keyPage serves the page for the keys of a server.
func (p *flowConnect) keyPage(show keyPage) flowHandler {
	return func(w http.ResponseWriter, r *http.Request, f *flows.Flow) error {
		c, err := p.target(r, f, r.URL.Query())
		if err != nil {
			return err
		}
		hidden := fieldsOf(f)
		hidden.FormsPath = flowPastePath
		client := p.client(f)
		return show(w, r, c, keyForm{
			fields: hidden, IdentityDigest: identity.FormValue(*f.Identity), Client: &client,
			Picked: pickedIn(r.URL.Query()),
		})
	}
}

// toButton answers a link to what only a button starts: it leads to the page
// with the button, where that has the focus. Without a flow, it is on the account
// page; who may press it is known by the browser alone, whatever the link says.
func (p *flowConnect) toButton() http.Handler {
	return p.get(func(w http.ResponseWriter, r *http.Request) error {
		query := r.URL.Query()
		id := p.connections.serverID(cmp.Or(query.Get("mcp_client_id"), query.Get("server")))
		if query.Get("flow_id") == "" {
			p.pages.Redirect(w, withQuery(accountPath, "focus", id))
			return nil
		}
		f, err := p.flows.Open(r, query.Get("flow_id"))
		if err != nil {
			return err
		}
		p.pages.Redirect(w, pageURL(servicesPath, f, "", "focus", id))
		return nil
	})
}

// target returns what the person wants to connect in a flow. Until the flow
// ends it belongs to nobody else, and is forgotten with it.
func (p *flowConnect) target(r *http.Request, f *flows.Flow, values url.Values) (connectRequest, error) {
	if f.Identity == nil || !p.cfg.SignIn.IsCurrent(r, *f.Identity) || r.Method == http.MethodPost && !identity.IsShown(r, *f.Identity) {
		return connectRequest{}, changed(p.text, f)
	}
	offered := p.flows.Servers(f)
	i := slices.IndexFunc(offered, func(s *config.Server) bool { return s.ID == values.Get("server") })
	if i < 0 || !p.connections.perUser(offered[i]) {
		return connectRequest{}, notHere(p.text)
	}
	s := offered[i]
	on := pickedIn(values)
	if r.Method == http.MethodPost && !values.Has("without") { // on the services page, not on the page for keys
		on = p.services.pickedOn(f, values)
	}
	return connectRequest{
		server: s, who: f.ID, owner: storage.FlowOwner(f.ID), keepUntil: f.ExpiresAt, authentication: f.Authentication(),
		returnTo: pageURL(servicesPath, f, "", append(on.query(), "server", s.ID)...),
		keyPage:  pageURL(flowKeyPath, f, "", append(on.query(), "server", s.ID)...),
	}, nil
}
