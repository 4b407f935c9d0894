package consent

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/flash"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/toolchanges"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/tools"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// accountPage is where people look after what they let in and connected.
type accountPage struct {
	*web
	*describer
	sessions    *sessions.Sessions
	grants      *grants.Grants
	persons     *persons.Persons
	policy      *grants.Policy
	tools       *tools.Source
	connections *connections
	connector   *connector
	signIn      *signInPage
	flash       flash.Cookie
	changed     *toolchanges.Tools
}

// What a form of the page did, as the next page tells it.
const (
	doneRevoked             = "revoked"      // an application
	doneChosen              = "chosen"       // an application
	doneApproved            = "approved"     // a tool
	doneDisconnected        = "disconnected" // a server
	doneRemoved             = "removed"      // an account
	doneRenamed             = "renamed"      // an account, by its new name
	doneSignedOut           = "signed_out"
	doneSignedOutEverywhere = "signed_out_everywhere"
)

// show shows people what they may use, what they let in, and where they are
// connected.
func (p *accountPage) show(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	t := p.pages.Text()
	if s.Identity == nil {
		m := p.flash.Take(w, r)
		return p.signIn.show(w, r, s, signInView{Status: http.StatusOK, Lead: t.AccountLead, Done: p.done(m), Elsewhere: p.stillElsewhere(m)})
	}
	servers, err := p.serversOf(r, *s.Identity)
	if err != nil {
		return err
	}
	waiting, err := p.waiting(r, s.Identity.Subject, servers)
	if err != nil {
		return err
	}
	approved, err := p.grants.List(r.Context(), s.Identity.Subject)
	if err != nil {
		return err
	}
	views := p.views(r, approved, servers)
	name, proof := p.person(*s.Identity)
	return p.pages.Render(w, http.StatusOK, "account", struct {
		pages.Frame
		fields
		Identity, Proof string
		Declared        bool
		Servers         []accountServer
		Changed         []toolchanges.Tool
		Grants          []grantView
		Notice          notice
		Done            string
	}{
		Frame:    p.pages.Frame(t.AccountTitle),
		fields:   fields{CSRFToken: s.CSRFToken, FormsPath: accountFormsPath},
		Identity: name,
		Proof:    proof,
		Declared: !p.cfg.SignIn.NameVerified(*s.Identity),
		Servers:  servers,
		Changed:  waiting,
		Grants:   views,
		Notice:   p.notice(r),
		Done:     cmp.Or(p.done(p.flash.Take(w, r)), p.connected(r, servers)),
	})
}

// done tells what the form did that the person sent.
func (p *accountPage) done(m flash.Message) string {
	t := p.pages.Text()
	switch m.Code {
	case doneRevoked:
		return fmt.Sprintf(t.DoneRevoked, cmp.Or(quote(cleanName(m.About)), t.DoneRevokedOther))
	case doneChosen:
		return fmt.Sprintf(t.DoneChosen, cmp.Or(quote(cleanName(m.About)), t.DoneRevokedOther))
	case doneApproved:
		return fmt.Sprintf(t.DoneApproved, quote(cleanName(m.About)))
	case doneDisconnected:
		if s := p.cfg.Server(m.About); s != nil {
			return fmt.Sprintf(t.DoneDisconnected, titleOf(s))
		}
	case doneRemoved:
		if s := p.cfg.Server(m.About); s != nil {
			return fmt.Sprintf(t.DoneRemoved, titleOf(s))
		}
	case doneRenamed:
		return fmt.Sprintf(t.DoneRenamed, quote(cleanName(m.About)))
	case doneSignedOut:
		return t.DoneSignedOut
	case doneSignedOutEverywhere:
		return t.DoneSignedOutEverywhere
	}
	return ""
}

// connected tells somebody who came back from connecting a server, perhaps because a
// call needed it, that it worked.
func (p *accountPage) connected(r *http.Request, servers []accountServer) string {
	query := r.URL.Query()
	if query.Get("error") != "" {
		return ""
	}
	for _, s := range servers {
		if s.Connection != nil && s.Connection.Server == query.Get("server") && s.Connection.Works {
			return fmt.Sprintf(p.pages.Text().AccountDone, s.Title)
		}
	}
	return ""
}

// revoke ends what a client was granted. What had ended already is as gone as
// the person wants it.
func (p *accountPage) revoke(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	ended, err := p.grants.RevokeOf(r.Context(), s.Identity.Subject, r.PostForm.Get("grant"))
	if err != nil && !errors.Is(err, grants.ErrNoSuchGrant) {
		return err
	}
	return p.tell(w, flash.Message{Code: doneRevoked, About: ended.ClientName})
}

// offers returns what tools of the servers of a grant there are to choose among. Without
// a request, no server is asked.
func (p *accountPage) offers(r *http.Request, g *storage.Grant, owner func(*config.Server) string) []tools.Offer {
	return p.tools.Offers(r, p.cfg.ServersAt(g.Resources), tools.Person{Identity: &g.Identity, Client: g.ClientID, Owner: owner}, g.ID, g.Chosen)
}

// toolsView shows what the client of a grant may use, to be changed.
func (p *accountPage) toolsView(r *http.Request, g *storage.Grant, owner func(*config.Server) string) *tools.View {
	offers := p.offers(r, g, owner)
	if len(offers) == 0 {
		return nil
	}
	t := p.pages.Text()
	lasts := tools.Asked{Label: t.EndsLabel, Longest: t.EndsUnchanged, Most: p.grants.Left(g)}
	return tools.NewView(t, "tools-"+g.ID, offers, tools.Of(offers, g).WithoutLifetime(), lasts, toolsOf(t))
}

// choose changes what a client may use.
func (p *accountPage) choose(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	approved, err := p.grants.List(r.Context(), s.Identity.Subject)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(approved, func(g storage.Grant) bool { return g.ID == r.PostForm.Get("grant") })
	if i < 0 {
		return notHere(p.pages.Text())
	}
	g, selection := &approved[i], tools.Read(r.PostForm)
	ask := r
	if !selection.HasTicks() {
		ask = nil
	}
	offers := p.offers(ask, g, func(*config.Server) string { return g.Identity.Subject })
	if server, unreadable := tools.Unreadable(offers, selection, g.Chosen); unreadable {
		p.pages.Redirect(w, withQuery(accountPath, "error", pages.CodeNoTools, "server", server))
		return nil
	}
	chosen := tools.Choices(offers, selection, g.Resources, g.Chosen)
	_, err = p.grants.Change(r.Context(), s.Identity.Subject, g.ID, chosen, selection.Lifetime(p.grants.Left(g)))
	switch {
	case errors.Is(err, grants.ErrNoSuchGrant):
		return notHere(p.pages.Text())
	case err != nil:
		return err
	}
	return p.tell(w, flash.Message{Code: doneChosen, About: g.ClientName})
}

func (p *accountPage) signOut(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	elsewhere := p.elsewhere(r, s)
	if err := p.sessions.SignOut(w, r); err != nil {
		return err
	}
	if s.Identity != nil {
		p.events.Record(r.Context(), event.Event{Kind: event.SignInEnded, By: event.ByPerson})
	}
	return p.signedOut(w, elsewhere, flash.Message{Code: doneSignedOut, About: kindOf(s)})
}

// kindOf returns how the person of a session signed in; empty for nobody.
func kindOf(s *sessions.Session) string {
	if s.Identity == nil {
		return ""
	}
	return s.Identity.Kind
}

// stillElsewhere tells somebody who signed out that they are still signed in at the
// identity provider, with the way to its own page for that; nil if there is none.
func (p *accountPage) stillElsewhere(m flash.Message) *signedInView {
	method := p.cfg.SignIn.Of(m.About)
	if m.Code != doneSignedOut && m.Code != doneSignedOutEverywhere || method == nil || method.SignOut == nil {
		return nil
	}
	there, ok := method.SignOut(p.cfg.Issuer+accountPath, "")
	if !ok {
		return nil
	}
	t := p.pages.Text()
	return &signedInView{Text: t.StillSignedIn, Button: t.SignOutThere, URL: there.URL}
}

// elsewhere returns how the person of a session signs out at the identity provider
// with a form that tells it who they are; nil if nothing does.
func (p *accountPage) elsewhere(r *http.Request, s *sessions.Session) *identity.SignOut {
	if s.Identity == nil {
		return nil
	}
	m := p.cfg.SignIn.Of(s.Identity.Kind)
	if m == nil || m.SignOut == nil {
		return nil
	}
	hint := p.persons.SignOutHint(r.Context(), *s.Identity)
	there, ok := m.SignOut(p.cfg.Issuer+accountPath, hint)
	if !ok || hint == "" || !pages.CanLeaveTo(there.Form) {
		return nil
	}
	return &there
}

// signedOut tells what was done. The form for the provider is the answer itself, so
// that what it tells about the person is kept nowhere for a next page, and is gone
// with this one.
func (p *accountPage) signedOut(w http.ResponseWriter, elsewhere *identity.SignOut, m flash.Message) error {
	if elsewhere == nil {
		return p.tell(w, m)
	}
	return p.pages.RenderLeaving(w, elsewhere.Form, "signedout", struct {
		pages.Frame
		identity.SignOut
		Done, AccountURL string
	}{p.pages.Frame(p.pages.Text().SignedOutTitle), *elsewhere, p.done(m), accountPath})
}

func (p *accountPage) signOutEverywhere(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	elsewhere := p.elsewhere(r, s)
	if _, err := p.persons.End(r.Context(), s.Identity.Subject); err != nil {
		return err
	}
	p.sessions.Forget(w)
	return p.signedOut(w, elsewhere, flash.Message{Code: doneSignedOutEverywhere, About: kindOf(s)})
}

// tell leads back to the page, which tells what was done.
func (p *accountPage) tell(w http.ResponseWriter, m flash.Message) error {
	p.flash.Set(w, m)
	p.pages.Redirect(w, accountPath)
	return nil
}
