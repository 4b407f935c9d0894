package consent

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// flowConnect takes the buttons and forms with which people connect a server
// in a flow.
type flowConnect struct {
	*web
	*describer
	flows       *authz.Flows
	connections *connections
	connector   *connector
}

// start begins to connect a server on the services page. The press of the
// button is the person's consent: the page has named the client, where it sends
// them, and what is asked of the provider (MCP security best practices, confused
// deputy).
func (p *flowConnect) start(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	c, err := p.target(r, f, r.PostForm)
	if err != nil {
		return err
	}
	return p.connector.start(w, r, c)
}

// toButton answers a link to what only a button starts: it leads to the page
// with the button, where that has the focus. Without a flow, it is on the account
// page; who may press it is known by the browser alone, whatever the link says.
func (p *flowConnect) toButton() http.Handler {
	return p.get(func(w http.ResponseWriter, r *http.Request) error {
		query := r.URL.Query()
		server := p.connections.serverID(cmp.Or(query.Get("mcp_client_id"), query.Get("server")))
		if query.Get("flow_id") == "" {
			p.pages.Redirect(w, withQuery(AccountPath, "focus", server))
			return nil
		}
		f, err := p.flows.Open(r, query.Get("flow_id"))
		if err != nil {
			return err
		}
		p.pages.Redirect(w, pageURL(authz.ServicesPath, f, "", "focus", server))
		return nil
	})
}

func (p *flowConnect) showKeys(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	c, err := p.target(r, f, r.URL.Query())
	if err != nil {
		return err
	}
	hidden := fieldsOf(f)
	hidden.FormsPath = flowPastePath
	client := p.client(f)
	return p.connector.showKeyPage(w, r, c, keyForm{
		fields: hidden, IdentityDigest: identity.FormValue(*f.Identity), Client: &client, Chosen: r.URL.Query().Get("chosen"),
	})
}

func (p *flowConnect) saveKeys(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	c, err := p.target(r, f, r.PostForm)
	if err != nil {
		return err
	}
	return p.connector.saveKeys(w, r, c)
}

// target returns what the person wants to connect in a flow. Until the flow
// ends it belongs to nobody else, and is forgotten with it.
func (p *flowConnect) target(r *http.Request, f *authz.Flow, values url.Values) (connectRequest, error) {
	if f.Identity == nil || !p.cfg.SignIn.IsCurrent(r, *f.Identity) || r.Method == http.MethodPost && !identity.IsShown(r, *f.Identity) {
		return connectRequest{}, changed(p.text, f)
	}
	offered := p.flows.Servers(f)
	i := slices.IndexFunc(offered, func(s *config.Server) bool { return s.ID == values.Get("server") })
	if i < 0 || p.connections.perUser(offered[i].ID) == nil {
		return connectRequest{}, notHere(p.text)
	}
	s := offered[i]
	chosen := values.Get("chosen")
	if resources := values["resource"]; len(resources) > 0 {
		chosen = chosenIDs(offered, resources)
	}
	return connectRequest{
		upstream: p.connections.perUser(s.ID), server: s, who: f.ID, owner: storage.FlowOwner(f.ID), keepUntil: f.ExpiresAt, authentication: f.Authentication(),
		returnTo: pageURL(authz.ServicesPath, f, "", "server", s.ID, "chosen", chosen),
		keyPage:  pageURL(flowKeyPath, f, "", "server", s.ID, "chosen", chosen),
	}, nil
}
