package consent

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// accountPage is where people look after what they let in and connected.
type accountPage struct {
	*web
	*describer
	sessions    *sessions.Sessions
	grants      *grants.Grants
	policy      *grants.Policy
	connections *connections
	connector   *connector
	signIn      *signInPage
}

// accountConnection is a connection on the account page.
type accountConnection struct {
	connectionView
	Allowed bool // the person may use the server, so it can be connected
}

// show shows people what they let in, and where they are connected.
func (p *accountPage) show(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	t := p.pages.Text()
	if s.Identity == nil {
		return p.signIn.show(w, r, s, http.StatusOK, t.AccountLead, "")
	}
	connections, err := p.connectionsOf(r, *s.Identity)
	if err != nil {
		return err
	}
	approved, err := p.grants.List(r.Context(), s.Identity.Subject)
	if err != nil {
		return err
	}
	views := make([]grantView, len(approved))
	for i, g := range slices.Backward(approved) { // the newest first
		views[len(approved)-1-i] = p.grant(g)
	}
	name, proof := p.person(*s.Identity)
	return p.pages.Render(w, http.StatusOK, "account", struct {
		pages.Frame
		fields
		Identity, Proof string
		Declared        bool
		Connections     []accountConnection
		Grants          []grantView
		Notice          notice
		Done            string
	}{
		Frame:       p.pages.Frame(t.AccountTitle),
		fields:      fields{CSRFToken: s.CSRFToken, FormsPath: accountFormsPath},
		Identity:    name,
		Proof:       proof,
		Declared:    !p.cfg.SignIn.NameVerified(*s.Identity),
		Connections: connections,
		Grants:      views,
		Notice:      p.notice(r),
		Done:        p.done(r, connections),
	})
}

// done tells somebody who came back from connecting a server, perhaps because a
// call needed it, that it worked.
func (p *accountPage) done(r *http.Request, connections []accountConnection) string {
	query := r.URL.Query()
	if query.Get("error") != "" {
		return ""
	}
	for _, connection := range connections {
		if connection.Server == query.Get("server") && connection.Works {
			return fmt.Sprintf(p.pages.Text().AccountDone, connection.Title)
		}
	}
	return ""
}

// connectionsOf lists the servers that the person can connect, and those that
// they did connect before their identity lost them.
func (p *accountPage) connectionsOf(r *http.Request, id storage.Identity) ([]accountConnection, error) {
	statuses, err := p.connections.statuses(r.Context(), id.Subject)
	if err != nil {
		return nil, err
	}
	allowed := p.policy.ServersOf(id)
	requested := p.connections.requestedScopes(r.Context(), allowed, statuses)
	var views []accountConnection
	for _, s := range p.cfg.Servers {
		if !p.connections.perUser(s) {
			continue
		}
		may := slices.ContainsFunc(allowed, func(a *config.Server) bool { return a.ID == s.ID })
		status, exists := statuses[s.ID]
		if may || exists {
			view := p.connections.describe(s, status, requested[s.ID])
			view.Focus = r.URL.Query().Get("focus") == s.ID
			views = append(views, accountConnection{view, may})
		}
	}
	return views, nil
}

// disconnect ends a connection, also to a server that the person may not use
// any more.
func (p *accountPage) disconnect(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	server := r.PostForm.Get("server")
	if p.connections.serverID(server) == "" {
		return notHere(p.pages.Text())
	}
	if err := p.connections.broker.Disconnect(r.Context(), s.Identity.Subject, server); err != nil {
		return p.connector.failed(w, withQuery(accountPath, "server", server), err)
	}
	p.pages.Redirect(w, accountPath)
	return nil
}

// revoke ends what a client was granted. What had ended already is as gone as
// the person wants it.
func (p *accountPage) revoke(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if err := p.grants.RevokeOf(r.Context(), s.Identity.Subject, r.PostForm.Get("grant")); err != nil && !errors.Is(err, grants.ErrNoSuchGrant) {
		return err
	}
	p.pages.Redirect(w, accountPath)
	return nil
}

func (p *accountPage) signOut(w http.ResponseWriter, r *http.Request, _ *sessions.Session) error {
	if err := p.sessions.SignOut(w, r); err != nil {
		return err
	}
	p.pages.Redirect(w, accountPath)
	return nil
}

func (p *accountPage) signOutEverywhere(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if err := p.sessions.SignOutEverywhere(r.Context(), s.Identity.Subject); err != nil {
		return err
	}
	p.sessions.Forget(w)
	p.pages.Redirect(w, accountPath)
	return nil
}
