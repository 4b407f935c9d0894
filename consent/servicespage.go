package consent

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/known"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// servicesPage is where the person in a flow decides what the client may do.
type servicesPage struct {
	*web
	*describer
	flows       *flows.Flows
	known       *known.People
	connections *connections
}

// serverView is one MCP server the client may get access to.
type serverView struct {
	Title      string
	Address    string
	Resource   string
	Scopes     []scopeView
	Chosen     bool
	Connection *connectionView // nil if there is nothing to connect
}

// show asks what the client may do, and lets the person connect what it needs
// for that.
func (p *servicesPage) show(w http.ResponseWriter, r *http.Request, f *flows.Flow) error {
	who, err := p.known.In(r, f)
	if err != nil {
		return err
	}
	if f.Identity == nil && who != nil {
		f.Identity = &who.Identity // for this page; see known.Adopt
	}
	if f.Identity == nil || !p.cfg.SignIn.IsCurrent(r, *f.Identity) {
		query := r.URL.Query()
		p.pages.Redirect(w, pageURL(server.ConsentPath, f, query.Get("error"), "choose", "1", "focus", p.connections.serverID(query.Get("focus"))))
		return nil
	}
	statuses, err := p.connections.inFlow(r.Context(), f)
	if err != nil {
		return err
	}
	t := p.pages.Text()
	servers := p.servers(r, f, statuses)
	name, proof := p.person(*f.Identity)
	return p.pages.Render(w, http.StatusOK, "services", struct {
		pages.Frame
		fields
		Client                                 clientView
		Lead                                   string
		Notice                                 notice
		Identity, Proof, IdentityDigest, Stays string
		Browser, Approve                       string
		ChangeURL, AccountURL, ConnectURL      string
		Servers                                []serverView
		Choose, Declared, Connects             bool
	}{
		Frame:          p.pages.Frame(t.ServicesTitle),
		fields:         fieldsOf(f),
		Client:         p.client(f),
		Lead:           fmt.Sprintf(t.ServicesLead, p.site),
		Notice:         p.notice(r),
		Identity:       name,
		Proof:          proof,
		IdentityDigest: identity.FormValue(*f.Identity),
		Stays:          p.lifetime(f.Client),
		Browser:        p.browser(*f.Identity, who),
		Approve:        p.approveButton(name, who),
		ChangeURL:      p.changeURL(r, f),
		AccountURL:     accountPath,
		ConnectURL:     flowConnectPath,
		Servers:        servers,
		Choose:         len(servers) > 1,
		Declared:       !p.cfg.SignIn.NameVerified(*f.Identity),
		Connects:       slices.ContainsFunc(servers, func(s serverView) bool { return s.Connection != nil }),
	})
}

// browser tells how long the browser stays signed in.
func (p *servicesPage) browser(id storage.Identity, who *sessions.Known) string {
	t := p.pages.Text()
	switch m := p.cfg.SignIn.Of(id.Kind); {
	case m != nil && m.Current != nil:
		return "" // another handler decides
	case who != nil:
		return fmt.Sprintf(t.StaysSignedIn, date(who.Until))
	case m != nil && m.SingleUse:
		return fmt.Sprintf(t.KnowsAgain, t.Duration(sessions.Lifetime))
	default:
		return fmt.Sprintf(t.SignsIn, t.Duration(sessions.Lifetime))
	}
}

func (p *servicesPage) approveButton(name string, who *sessions.Known) string {
	t := p.pages.Text()
	if who == nil {
		return t.Approve
	}
	return fmt.Sprintf(t.ContinueAs, name)
}

// changeURL leads to where the person can be somebody else, if they can.
func (p *servicesPage) changeURL(r *http.Request, f *flows.Flow) string {
	if p.known.OnlyMethod() != nil {
		return ""
	}
	return pageURL(server.ConsentPath, f, "", "choose", "1", "focus", p.connections.serverID(r.URL.Query().Get("focus")))
}

// servers lists what the person can grant. What the client asked for is chosen
// beforehand, and so is a server that is the only one, and what the person chose
// before they went to connect something.
func (p *servicesPage) servers(r *http.Request, f *flows.Flow, statuses map[string]accounts.Status) []serverView {
	servers := p.flows.Servers(f)
	chosen := strings.Fields(r.URL.Query().Get("chosen"))
	requested := p.connections.requestedScopes(r.Context(), servers, statuses)
	views := make([]serverView, len(servers))
	for i, s := range servers {
		views[i] = serverView{
			Title: titleOf(s), Address: address(s.Resource), Resource: s.Resource,
			Scopes: p.scopes(f, s),
			Chosen: len(f.Resources) > 0 || len(servers) == 1 || slices.Contains(chosen, s.ID),
		}
		if p.connections.perUser(s) {
			connection := p.connections.describe(s, statuses[s.ID], requested[s.ID])
			connection.Focus = r.URL.Query().Get("focus") == s.ID
			views[i].Connection = &connection
		}
	}
	return views
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
		return refuse(http.StatusBadRequest, p.pages.Text().BadRequest)
	}
	return flowChanged(p.pages.Text(), f, err)
}

func (p *servicesPage) approve(w http.ResponseWriter, r *http.Request, f *flows.Flow) error {
	resources := r.PostForm["resource"]
	if len(resources) == 0 {
		p.pages.Redirect(w, pageURL(servicesPath, f, pages.CodeNoServer))
		return nil
	}
	statuses, err := p.connections.inFlow(r.Context(), f)
	if err != nil {
		return err
	}
	if missing := p.missing(f, resources, statuses); missing != "" {
		p.pages.Redirect(w, pageURL(servicesPath, f, pages.CodeRequired,
			"server", missing, "chosen", chosenIDs(p.flows.Servers(f), resources)))
		return nil
	}
	url, err := p.flows.ApproveAndSignIn(w, r, f, flows.Approval{Resources: resources, Connected: connected(statuses)})
	if err != nil {
		return err
	}
	p.pages.Redirect(w, url)
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
