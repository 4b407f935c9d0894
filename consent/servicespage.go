package consent

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/known"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/scopes"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/tools"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// servicesPage is where the person in a flow decides what the client may do.
type servicesPage struct {
	*web
	*describer
	flows       *flows.Flows
	known       *known.People
	grants      *grants.Grants
	tools       *tools.Source
	connections *connections
}

// serverView is one MCP server the client may get access to.
type serverView struct {
	Title      string
	Address    string
	Resource   string
	Needed     []scopeView
	Optional   []scopeChoice
	Chosen     bool
	Done       string          // what the person just did there, if anything
	Connection *connectionView // nil if there is nothing to connect
	Wrong      *notice         // why it cannot go on as it is
}

// scopeChoice is a scope that the person can leave out.
type scopeChoice struct {
	scopeView
	Ticked bool
	Focus  bool
	At     string // the servers it means something to, if several
}

// servicesView is what the page shows.
type servicesView struct {
	pages.Frame
	fields
	Client                             clientView
	Notice                             notice
	Identity, Proof, IdentityDigest    string
	Stays, Browser, Approve            string
	ChangeURL, AccountURL, ConnectURL  string
	Servers                            []serverView
	Shared                             []scopeChoice
	Tools                              *tools.View // nil if there is nothing to choose
	Refused                            string      // which servers the person may not use, in words
	WrongChoice, WrongScope            *notice     // stand where they are about
	Choose, Scopes, Declared, Connects bool
}

// show asks what the client may do, and lets the person connect what it needs
// for that.
//
// Nothing on it that grants anything has the focus when it loads: whoever holds
// down the Enter key on another page must not press it.
func (p *servicesPage) show(w http.ResponseWriter, r *http.Request, f *flows.Flow) error {
	who, err := p.known.In(r, f)
	if err != nil {
		return err
	}
	if f.Identity == nil && who != nil {
		f.Identity = &who.Identity // for this page; see known.Adopt
	}
	query := r.URL.Query()
	if f.Identity == nil || !p.cfg.SignIn.IsCurrent(r, *f.Identity) {
		p.pages.Redirect(w, pageURL(server.ConsentPath, f, query.Get("error"), "choose", "1", "focus", p.connections.serverID(query.Get("focus"))))
		return nil
	}
	statuses, err := p.connections.inFlow(r.Context(), f)
	if err != nil {
		return err
	}
	offered := p.flows.Servers(f)
	servers := p.servers(r, f, offered, statuses)
	name, proof := p.person(*f.Identity)
	v := servicesView{
		Frame:          p.pages.Frame(p.wants(f, offered, *f.Identity)),
		fields:         fieldsOf(f),
		Client:         p.client(f),
		Notice:         p.notice(r),
		Identity:       name,
		Proof:          proof,
		IdentityDigest: identity.FormValue(*f.Identity),
		Stays:          p.lifetime(f.Client),
		Browser:        p.browser(*f.Identity, who, len(offered) > 0),
		Approve:        p.approveButton(name, who),
		ChangeURL:      p.changeURL(r, f),
		AccountURL:     accountPath,
		ConnectURL:     flowConnectPath,
		Servers:        servers,
		Shared:         p.sharedScopes(r, f, offered),
		Refused:        p.refused(f, offered),
		Choose:         len(servers) > 1,
		Declared:       !p.cfg.SignIn.NameVerified(*f.Identity),
		Connects:       slices.ContainsFunc(servers, func(s serverView) bool { return s.Connection != nil }),
	}
	if v.Tools, err = p.toolsView(r, f, statuses); err != nil {
		return err
	}
	v.Scopes = len(v.Shared) > 0 || slices.ContainsFunc(servers, func(s serverView) bool { return len(s.Optional) > 0 })
	v.Tab = fmt.Sprintf(p.pages.Text().ServicesTab, p.site) // nothing that a client chose
	v.HasProblem = v.Notice.Text != ""
	v.placeNotice(query.Get("error"), p.connections.serverID(query.Get("server")))
	return p.pages.Render(w, http.StatusOK, "services", v)
}

// placeNotice moves the notice to what it is about, if that is on the page.
func (v *servicesView) placeNotice(code, server string) {
	if v.Notice.Text == "" {
		return
	}
	n := v.Notice
	switch {
	case code == pages.CodeNoServer && v.Choose:
		v.WrongChoice = &n
	case code == pages.CodeNoScope && v.Scopes:
		v.WrongScope = &n
		v.firstChoice().Focus = true
	default:
		i := slices.IndexFunc(v.Servers, func(s serverView) bool { return s.Connection != nil && s.Connection.Server == server })
		if i < 0 {
			return
		}
		v.Servers[i].Wrong = &n
	}
	v.Notice = notice{}
}

// firstChoice returns the first scope that can be left out.
func (v *servicesView) firstChoice() *scopeChoice {
	for _, s := range v.Servers {
		if len(s.Optional) > 0 {
			return &s.Optional[0]
		}
	}
	return &v.Shared[0]
}

// wants tells who wants what, in whose name.
func (p *servicesPage) wants(f *flows.Flow, offered []*config.Server, id storage.Identity) string {
	t := p.pages.Text()
	what := p.what(f, offered)
	if m := p.cfg.SignIn.Of(id.Kind); m != nil && m.SingleUse {
		return fmt.Sprintf(t.WantsAsNobody, p.subject(f), what)
	}
	name, _ := p.person(id)
	return fmt.Sprintf(t.WantsAs, p.subject(f), what, short(name))
}

// browser tells how long the browser stays signed in, or would if the person could
// allow something and did.
func (p *servicesPage) browser(id storage.Identity, who *sessions.Known, canAllow bool) string {
	t := p.pages.Text()
	switch m := p.cfg.SignIn.Of(id.Kind); {
	case m != nil && m.Current != nil:
		return "" // another handler decides
	case who != nil:
		return fmt.Sprintf(t.StaysSignedIn, date(who.Until))
	case !canAllow:
		return ""
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
	return fmt.Sprintf(t.ContinueAs, short(name))
}

// changeURL leads to where the person can be somebody else, if they can.
func (p *servicesPage) changeURL(r *http.Request, f *flows.Flow) string {
	if p.known.OnlyMethod() != nil {
		return ""
	}
	return pageURL(server.ConsentPath, f, "", "choose", "1", "focus", p.connections.serverID(r.URL.Query().Get("focus")))
}

// refused tells which of the servers that the client asks for the person may not
// use, unless there are none.
func (p *servicesPage) refused(f *flows.Flow, offered []*config.Server) string {
	if len(f.Resources) == 0 && len(offered) > 0 {
		return ""
	}
	others := slices.DeleteFunc(p.flows.Asked(f), func(s *config.Server) bool {
		return slices.ContainsFunc(offered, func(o *config.Server) bool { return o.ID == s.ID })
	})
	if len(others) == 0 {
		return ""
	}
	name, _ := p.person(*f.Identity)
	return fmt.Sprintf(p.pages.Text().MayNotUse, short(name), p.pages.Text().List(titlesOf(others)))
}

// servers lists what the person can grant. What the client asked for is chosen
// beforehand, and so is a server that is the only one, what the person chose before
// they went to connect something, and what they connected.
func (p *servicesPage) servers(r *http.Request, f *flows.Flow, offered []*config.Server, statuses map[string]accounts.Status) []serverView {
	query := r.URL.Query()
	chosen := strings.Fields(query.Get("chosen"))
	asked := len(f.Resources) > 0 && len(chosen) == 0 && query.Get("error") != pages.CodeNoServer
	choice := scopes.Of(f.Scope, offered)
	requested := p.connections.requestedScopes(r.Context(), offered, statuses)
	views := make([]serverView, len(offered))
	for i, s := range offered {
		v := serverView{Title: p.connections.title(s, statuses[s.ID]), Address: address(s.Resource), Resource: s.Resource}
		for _, scope := range choice.Needed(s) {
			v.Needed = append(v.Needed, p.scope(scope, s))
		}
		v.Optional = p.choices(r, choice.Own(s))
		if p.connections.perUser(s) {
			connection := p.connections.describe(s, statuses[s.ID], requested[s.ID])
			connection.Focus = query.Get("focus") == s.ID
			v.Connection = &connection
			if query.Get("server") == s.ID && query.Get("error") == "" && connection.Works {
				v.Done = fmt.Sprintf(p.pages.Text().ConnectedTitle, v.Title)
			}
		}
		v.Chosen = len(offered) == 1 || v.Done != "" || asked || slices.Contains(chosen, s.ID)
		views[i] = v
	}
	return views
}

// choices lists scopes that the person can leave out. All are ticked until they
// did.
func (p *servicesPage) choices(r *http.Request, names []string) []scopeChoice {
	without := strings.Fields(r.URL.Query().Get("without"))
	var all []scopeChoice
	for _, name := range names {
		all = append(all, scopeChoice{scopeView: p.scope(name), Ticked: !slices.Contains(without, name)})
	}
	return all
}

// sharedScopes lists those that mean something to several servers.
func (p *servicesPage) sharedScopes(r *http.Request, f *flows.Flow, offered []*config.Server) []scopeChoice {
	t, choice := p.pages.Text(), scopes.Of(f.Scope, offered)
	all := p.choices(r, choice.Shared())
	for i, scope := range all {
		at, needs := choice.At(scope.Name), []*config.Server(nil)
		for _, s := range at {
			if slices.Contains(s.Scopes, scope.Name) {
				needs = append(needs, s)
			}
		}
		if all[i].At = t.List(titlesOf(at)); len(needs) > 0 {
			all[i].At += fmt.Sprintf(t.NeededBy, t.List(titlesOf(needs)))
		}
	}
	return all
}
