package consent

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// connectInFlow begins to connect a server on the services page. The press of
// the button is the person's consent: the page has named the client, where it
// sends them, and what is asked of the provider (MCP security best practices,
// confused deputy).
func (c *Consent) connectInFlow(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	g, err := c.goalIn(r, f, r.PostForm)
	if err != nil {
		return err
	}
	return c.depart(w, r, g)
}

// toButton answers a link to what only a button starts: it leads to the page
// with the button, where that has the focus. Without a flow, it is on the account
// page; who may press it is known by the browser alone, whatever the link says.
func (c *Consent) toButton() http.Handler {
	return c.loaded(func(w http.ResponseWriter, r *http.Request) error {
		query := r.URL.Query()
		server := c.serverID(cmp.Or(query.Get("mcp_client_id"), query.Get("server")))
		if query.Get("flow_id") == "" {
			c.redirect(w, withQuery(AccountPath, "focus", server))
			return nil
		}
		f, err := c.as.OpenFlow(r, query.Get("flow_id"))
		if err != nil {
			return err
		}
		c.redirect(w, pageURL(authz.ServicesPath, f, "", "focus", server))
		return nil
	})
}

// serverID returns the ID if it is of a server that people connect, or "".
func (c *Consent) serverID(id string) string {
	if c.perUser(id) == nil {
		return ""
	}
	return id
}

func (c *Consent) showFlowKey(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	g, err := c.goalIn(r, f, r.URL.Query())
	if err != nil {
		return err
	}
	hidden := fieldsOf(f)
	hidden.FormsPath = flowPastePath
	client := c.describe(f)
	return c.showKeyPage(w, r, g, keyForm{
		fields: hidden, IdentityDigest: digest(*f.Identity), Client: &client, Chosen: r.URL.Query().Get("chosen"),
	})
}

func (c *Consent) pasteInFlow(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	g, err := c.goalIn(r, f, r.PostForm)
	if err != nil {
		return err
	}
	return c.keepKeys(w, r, g)
}

// goalIn returns what the person wants to connect in a flow. Until the flow
// ends it belongs to nobody else, and is forgotten with it.
func (c *Consent) goalIn(r *http.Request, f *authz.Flow, values url.Values) (goal, error) {
	if f.Identity == nil || !c.stillUser(r, *f.Identity) || r.Method == http.MethodPost && !shown(r, *f.Identity) {
		return goal{}, c.changed(f)
	}
	offered := c.as.Servers(f)
	i := slices.IndexFunc(offered, func(s authz.Server) bool { return s.ID == values.Get("server") })
	if i < 0 || c.perUser(offered[i].ID) == nil {
		return goal{}, c.notHere()
	}
	s := offered[i]
	chosen := values.Get("chosen")
	if resources := values["resource"]; len(resources) > 0 {
		chosen = chosenIDs(offered, resources)
	}
	return goal{
		upstream: c.perUser(s.ID), server: s, who: f.ID, owner: storage.FlowOwner(f.ID), keepUntil: f.ExpiresAt, authentication: f.Authentication(),
		returnTo: pageURL(authz.ServicesPath, f, "", "server", s.ID, "chosen", chosen),
		keyPage:  pageURL(flowKeyPath, f, "", "server", s.ID, "chosen", chosen),
	}, nil
}

// chosenIDs returns the IDs of the servers that are ticked, to tick them again
// when the person comes back.
func chosenIDs(offered []authz.Server, resources []string) string {
	var ids []string
	for _, s := range offered {
		if slices.Contains(resources, s.Resource) {
			ids = append(ids, s.ID)
		}
	}
	return strings.Join(ids, " ")
}

// discard ends what was connected in the flow, so that providers hear of it too.
func (c *Consent) discard(ctx context.Context, f *authz.Flow) error {
	owner := storage.FlowOwner(f.ID)
	made, err := c.standing(ctx, owner)
	if err != nil {
		return err
	}
	for server := range made {
		if err := c.broker.Disconnect(ctx, owner, server); err != nil {
			return err
		}
	}
	return nil
}

// startOver ends what somebody connected in the flow, and the trips they are
// on, before it becomes somebody else's.
func (c *Consent) startOver(ctx context.Context, f *authz.Flow) error {
	for _, s := range c.as.Config().Servers {
		if c.perUser(s.ID) == nil {
			continue
		}
		if err := c.broker.Disconnect(ctx, storage.FlowOwner(f.ID), s.ID); err != nil {
			return err
		}
	}
	return nil
}

func (c *Consent) notHere() *failure {
	return refuse(http.StatusNotFound, c.pages.text.UnknownServer)
}
