package consent

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/flash"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/toolchanges"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// accountServer is a server on the account page: one that the person may use,
// or that they are still connected to.
type accountServer struct {
	server     *config.Server
	owner      string // who has connected it
	Title      string
	URL        string          // to be added to an application; empty if the person may not use it
	Connection *connectionView // nil if there is nothing to connect
	Account    string          // the name of one of several accounts
	Renamable  bool
	Label      string // what they call it
	Adds       bool   // one more account can be connected
	Full       string // why not, in words
	AddHint    string
}

// serversOf lists the servers that the person may use, and those that they
// connected before their identity lost them.
func (p *accountPage) serversOf(r *http.Request, id storage.Identity) ([]accountServer, error) {
	statuses, err := p.connections.statuses(r.Context(), id.Subject)
	if err != nil {
		return nil, err
	}
	var servers []*config.Server
	count := map[*config.Server]int{} // of accounts
	for _, s := range p.cfg.Servers {
		servers = append(servers, s)
		if _, connected := statuses[s.ID]; connected {
			count[s]++
		}
		for _, account := range slices.Sorted(maps.Keys(statuses)) {
			if at := p.cfg.Server(account); at != nil && at.Account != "" && at.Configured() == s {
				servers = append(servers, at)
				count[s]++
			}
		}
	}
	requested := p.connections.requestedScopes(r.Context(), p.policy.ServersOf(id), statuses)
	var views []accountServer
	for _, s := range servers {
		status, connected := statuses[s.ID]
		v := accountServer{server: s, owner: status.Owner, Title: p.connections.title(s, status), Account: s.Account, Label: status.Label}
		may := p.policy.MayUse(id, s)
		switch {
		case may:
			v.URL = s.Resource
		case !connected:
			continue
		}
		if p.connections.perUser(s) {
			connection := p.connections.describe(s, status, requested[s.Configured().ID])
			connection.Focus = r.URL.Query().Get("focus") == s.ID
			v.Connection = &connection
			v.Renamable = connected && s.Configured().HasAccounts()
		}
		if may && s.HasAccounts() {
			p.addTo(&v, s, count[s])
		}
		views = append(views, v)
	}
	return views, nil
}

// addTo tells whether the person can connect one more account at a server.
func (p *accountPage) addTo(v *accountServer, s *config.Server, count int) {
	t := p.pages.Text()
	if v.Adds = count < *s.Auth.MaxAccounts; v.Adds {
		v.AddHint = fmt.Sprintf(t.AddAccountHint, address(s.Resource)+"/")
		return
	}
	v.Full = fmt.Sprintf(t.AccountsFull, count)
}

// rename has an account called something else on the pages.
func (p *accountPage) rename(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	id := r.PostForm.Get("server")
	server := p.cfg.Server(id)
	if p.connections.serverID(id) == "" || !server.Configured().HasAccounts() {
		return notHere(p.pages.Text())
	}
	label := r.PostForm.Get("label")
	back := withQuery(accountPath, "server", id)
	err := p.connections.broker.Rename(r.Context(), s.Identity.Subject, id, label)
	switch {
	case errors.Is(err, accounts.ErrLabel):
		return p.connector.failed(w, r, back, &client.Error{Problem: pages.CodeAccountLabel})
	case errors.Is(err, accounts.ErrNotConnected):
		return notHere(p.pages.Text())
	case errors.Is(err, accounts.ErrUnavailable):
		return p.connector.failed(w, r, back, &client.Error{Problem: client.ProviderDown, Cause: err})
	case err != nil:
		return p.connector.failed(w, r, back, err)
	}
	return p.tell(w, flash.Message{Code: doneRenamed, About: cmp.Or(strings.TrimSpace(label), titleOf(server))})
}

// disconnect ends a connection, also to a server that the person may not use
// any more.
func (p *accountPage) disconnect(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	server := r.PostForm.Get("server")
	if p.connections.serverID(server) == "" {
		return notHere(p.pages.Text())
	}
	if err := p.connections.broker.Disconnect(r.Context(), s.Identity.Subject, server); err != nil {
		return p.connector.failed(w, r, withQuery(accountPath, "server", server), err)
	}
	code := doneDisconnected
	if _, account := config.SplitID(server); account != "" {
		code = doneRemoved
	}
	return p.tell(w, flash.Message{Code: code, About: server})
}

// waiting returns the tools of these servers that wait for the person to approve them.
func (p *accountPage) waiting(r *http.Request, person string, servers []accountServer) (all []toolchanges.Tool, _ error) {
	for _, v := range servers {
		if v.URL == "" {
			continue
		}
		tools, err := p.changed.For(r.Context(), v.server, person, v.Title)
		if err != nil {
			return nil, err
		}
		all = append(all, tools...)
	}
	return all, nil
}

// approveTool has a tool count as approved, for the person, as it was shown to them.
func (p *accountPage) approveTool(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	server, name := p.cfg.Server(r.PostForm.Get("server")), r.PostForm.Get("tool")
	if server == nil || !p.policy.MayUse(*s.Identity, server) {
		return notHere(p.pages.Text())
	}
	err := p.changed.Approve(r.Context(), server, s.Identity.Subject, name, r.PostForm.Get("hash"))
	if errors.Is(err, toolchanges.ErrGone) { // the page shows what there is now
		p.pages.Redirect(w, accountPath)
		return nil
	}
	if err != nil {
		return err
	}
	p.events.Record(r.Context(), event.Event{Kind: event.ToolApproved, By: event.ByPerson, Server: server.ID, Tool: name})
	return p.tell(w, flash.Message{Code: doneApproved, About: name})
}

// views describes grants, the newest first. Their servers are asked side by side, as one
// may be slow.
func (p *accountPage) views(r *http.Request, approved []storage.Grant, servers []accountServer) []grantView {
	owner := func(s *config.Server) string {
		for _, v := range servers {
			if v.server.ID == s.ID && v.Connection != nil && v.Connection.Works {
				return v.owner
			}
		}
		return ""
	}
	views := make([]grantView, len(approved))
	var all sync.WaitGroup
	for i, g := range slices.Backward(approved) {
		all.Go(func() {
			v := p.grant(g)
			v.Choose = p.toolsView(r, &g, owner)
			views[len(approved)-1-i] = v
		})
	}
	all.Wait()
	return views
}
