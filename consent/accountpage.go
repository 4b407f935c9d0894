package consent

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// grantView is a client that a person let in.
type grantView struct {
	ID      string
	Client  clientView
	Servers []string
	Scopes  []string
	Since   string
	Used    string
}

// accountConnection is a connection on the account page.
type accountConnection struct {
	connectionView
	Allowed bool // the person may use the server, so it can be connected
}

// showAccount shows people what they let in, and where they are connected.
func (c *Consent) showAccount(w http.ResponseWriter, r *http.Request, s *authz.Session) error {
	t := c.pages.text
	if s.Identity == nil {
		return c.showSignIn(w, r, s, http.StatusOK, t.AccountLead, "")
	}
	connections, err := c.connectionsOf(r, *s.Identity)
	if err != nil {
		return err
	}
	grants, err := c.as.Grants(r.Context(), s.Identity.Subject)
	if err != nil {
		return err
	}
	views := make([]grantView, len(grants))
	for i, g := range slices.Backward(grants) { // the newest first
		views[len(grants)-1-i] = c.describeGrant(g)
	}
	name, proof := c.nameOf(*s.Identity)
	return c.pages.render(w, http.StatusOK, "account", struct {
		frame
		fields
		Identity, Proof string
		Declared        bool
		Connections     []accountConnection
		Grants          []grantView
		Notice          notice
		Done            string
	}{
		frame:       c.pages.frame(t.AccountTitle),
		fields:      fields{CSRFToken: s.CSRFToken, FormsPath: accountFormsPath},
		Identity:    name,
		Proof:       proof,
		Declared:    s.Identity.Kind == string(identity.UserID),
		Connections: connections,
		Grants:      views,
		Notice:      c.notice(r),
		Done:        c.done(r, connections),
	})
}

// done tells somebody who came back from connecting a server, perhaps because a
// call needed it, that it worked.
func (c *Consent) done(r *http.Request, connections []accountConnection) string {
	query := r.URL.Query()
	if query.Get("error") != "" {
		return ""
	}
	for _, connection := range connections {
		if connection.Server == query.Get("server") && connection.Works {
			return fmt.Sprintf(c.pages.text.AccountDone, connection.Title)
		}
	}
	return ""
}

// connectionsOf lists the servers that the person can connect, and those that
// they did connect before their identity lost them.
func (c *Consent) connectionsOf(r *http.Request, id storage.Identity) ([]accountConnection, error) {
	standing, err := c.standing(r.Context(), id.Subject)
	if err != nil {
		return nil, err
	}
	allowed := c.as.ServersOf(id)
	asks := c.asks(r.Context(), allowed, standing)
	var views []accountConnection
	for _, s := range c.as.Config().Servers {
		u := c.perUser(s.ID)
		if u == nil {
			continue
		}
		may := slices.ContainsFunc(allowed, func(a authz.Server) bool { return a.ID == s.ID })
		status, exists := standing[s.ID]
		if may || exists {
			view := c.describeConnection(s, u, status, asks[s.ID])
			view.Focus = r.URL.Query().Get("focus") == s.ID
			views = append(views, accountConnection{view, may})
		}
	}
	return views, nil
}

func (c *Consent) describeGrant(g storage.Grant) grantView {
	registered := slices.ContainsFunc(c.as.Config().Clients, func(client authz.Client) bool { return client.ID == g.ClientID })
	v := grantView{
		ID: g.ID, Client: c.describeClient(g.ClientName, registered, g.RedirectURI),
		Scopes: g.Scope, Since: date(g.CreatedAt), Used: date(g.LastUsedAt),
	}
	for _, s := range c.as.Config().Servers {
		if slices.Contains(g.Resources, s.Resource) {
			v.Servers = append(v.Servers, titleOf(s))
		}
	}
	return v
}
