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
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// accountPage is where people look after what they let in and connected.
type accountPage struct {
	*web
	*describer
	sessions    *sessions.Sessions
	grants      *grants.Grants
	persons     *persons.Persons
	policy      *grants.Policy
	connections *connections
	connector   *connector
	signIn      *signInPage
	flash       flash.Cookie
}

// What a form of the page did, as the next page tells it.
const (
	doneRevoked             = "revoked"      // an application
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
		Servers         []accountServer
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
