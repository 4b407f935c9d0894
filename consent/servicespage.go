package consent

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// serverView is one MCP server the client may get access to.
type serverView struct {
	Title      string
	Address    string
	Resource   string
	Scopes     []scopeView
	Chosen     bool
	Connection *connectionView // nil if there is nothing to connect
}

// scopeView is a scope in the operator's words, or by its name.
type scopeView struct {
	Name        string
	Description string
	ShowName    bool
}

// showServices asks what the client may do, and lets the person connect what
// it needs for that.
func (c *Consent) showServices(w http.ResponseWriter, r *http.Request, f *authz.Flow) error {
	if f.Identity == nil || !c.stillUser(r, *f.Identity) {
		query := r.URL.Query()
		c.redirect(w, pageURL(authz.ConsentPath, f, query.Get("error"), "focus", c.serverID(query.Get("focus"))))
		return nil
	}
	standing, err := c.standingIn(r.Context(), f)
	if err != nil {
		return err
	}
	t := c.pages.text
	servers := c.describeServers(r, f, standing)
	name, proof := c.nameOf(*f.Identity)
	return c.pages.render(w, http.StatusOK, "services", struct {
		frame
		fields
		Client                                 clientView
		Lead                                   string
		Notice                                 notice
		Identity, Proof, IdentityDigest, Stays string
		ChangeURL, AccountURL, ConnectURL      string
		Servers                                []serverView
		Choose, Declared, Connects             bool
	}{
		frame:          c.pages.frame(t.ServicesTitle),
		fields:         fieldsOf(f),
		Client:         c.describe(f),
		Lead:           fmt.Sprintf(t.ServicesLead, c.site),
		Notice:         c.notice(r),
		Identity:       name,
		Proof:          proof,
		IdentityDigest: digest(*f.Identity),
		Stays:          c.stays(f.Client),
		ChangeURL:      pageURL(authz.ConsentPath, f, ""),
		AccountURL:     AccountPath,
		ConnectURL:     flowConnectPath,
		Servers:        servers,
		Choose:         len(servers) > 1,
		Declared:       f.Identity.Kind == string(identity.UserID),
		Connects:       slices.ContainsFunc(servers, func(s serverView) bool { return s.Connection != nil }),
	})
}

// stillUser reports whether the identity is not one of Caddy's users, or the
// one who is signed in to the site now.
func (c *Consent) stillUser(r *http.Request, id storage.Identity) bool {
	if id.Kind != string(identity.Caddy) {
		return true
	}
	user, ok := identity.FromContext(r.Context())
	return ok && user.Subject == id.Subject
}

// nameOf returns what a person recognises themselves by, and what vouches for it.
func (c *Consent) nameOf(id storage.Identity) (name, proof string) {
	t := c.pages.text
	switch identity.Kind(id.Kind) {
	case identity.VirtualKey:
		return id.Name, t.ByKey
	case identity.UserID:
		return id.Name, t.Declared
	case identity.Caddy:
		return id.Name, t.ByServer
	default:
		return cmp.Or(id.Name, t.Nobody), ""
	}
}

// describeServers lists what the person can grant. What the client asked for
// is chosen beforehand, and so is a server that is the only one, and what the
// person chose before they went to connect something.
func (c *Consent) describeServers(r *http.Request, f *authz.Flow, standing map[string]accounts.Status) []serverView {
	servers := c.as.Servers(f)
	chosen := strings.Fields(r.URL.Query().Get("chosen"))
	asks := c.asks(r.Context(), servers, standing)
	views := make([]serverView, len(servers))
	for i, s := range servers {
		views[i] = serverView{
			Title: titleOf(s), Address: address(s.Resource), Resource: s.Resource,
			Scopes: c.describeScopes(f, s),
			Chosen: len(f.Resources) > 0 || len(servers) == 1 || slices.Contains(chosen, s.ID),
		}
		if u := c.perUser(s.ID); u != nil {
			connection := c.describeConnection(s, u, standing[s.ID], asks[s.ID])
			connection.Focus = r.URL.Query().Get("focus") == s.ID
			views[i].Connection = &connection
		}
	}
	return views
}
