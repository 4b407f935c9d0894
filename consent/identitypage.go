package consent

import (
	"context"
	"fmt"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/known"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// fields are the hidden ones of forms, and where forms go.
type fields struct {
	FlowID    string
	Ticket    string // of a connect link
	Focus     string // the server whose button has the focus when they are back
	CSRFToken string
	FormsPath string
}

func fieldsOf(f *flows.Flow) fields {
	return fields{FlowID: f.SealedID, CSRFToken: f.CSRFToken, FormsPath: flowFormsPath}
}

// identityPage is where the person in a flow says who they are.
type identityPage struct {
	*web
	*describer
	flows       *flows.Flows
	known       *known.People
	connections *connections
	signIn      *signIn
	logins      *logins
}

// show asks who the person is. Whoever is known goes on to what is asked of them,
// unless they want to be somebody else; and where there is one place to sign in,
// everybody else is sent there.
func (p *identityPage) show(w http.ResponseWriter, r *http.Request, f *flows.Flow) error {
	t, query := p.pages.Text(), r.URL.Query()
	who, err := p.known.In(r, f)
	if err != nil {
		return err
	}
	if who != nil && query.Get("choose") == "" && query.Get("error") == "" {
		p.pages.Redirect(w, pageURL(servicesPath, f, "", "focus", p.connections.serverID(query.Get("focus"))))
		return nil
	}
	if m := p.onlyPlace(r, f); m != nil {
		return p.logins.start(w, r, m, pageURL(server.ConsentPath, f, "", "choose", "1"), identity.PendingLogin{FlowID: f.SealedID, Focus: query.Get("focus"), Wanted: p.flows.Wanted(f)})
	}
	hidden := fieldsOf(f)
	hidden.Focus = p.connections.serverID(query.Get("focus"))
	frame := p.pages.Frame(fmt.Sprintf(t.Wants, p.subject(f), p.what(f, p.flows.Servers(f))))
	asked, n := promptsOf(r, p.cfg.SignIn.ForPeople(), true, leftKind(r, f, who)), p.notice(r)
	frame.Tab = fmt.Sprintf(t.IdentityTitle, p.site) // nothing that a client chose
	frame.HasProblem = n.Text != ""
	asked.place(&n, query.Get("error"))
	return p.pages.Render(w, http.StatusOK, "identity", struct {
		pages.Frame
		fields
		prompts
		Client   clientView
		Lead     string
		Notice   notice
		SignedIn *signedInView
	}{
		Frame:    frame,
		fields:   hidden,
		prompts:  asked,
		Client:   p.client(f),
		Lead:     t.IdentityLead,
		Notice:   n,
		SignedIn: p.signedIn(f, who),
	})
}

// onlyPlace returns the method by which people sign in elsewhere, if the site has
// no other and there is nothing to read or choose on the page before; else nil.
//
// It is safe without a button: who comes back is bound to this browser and this
// flow, and is then asked whether the application may have anything, on the page
// that names it. So neither does an application get something from people who only
// followed its link, nor can anybody be made somebody else.
func (p *identityPage) onlyPlace(r *http.Request, f *flows.Flow) *identity.Method {
	query := r.URL.Query()
	if r.Method != http.MethodGet || r.Header.Get("Sec-Purpose") != "" { // nobody asked for the page yet
		return nil
	}
	methods := p.cfg.SignIn.ForPeople()
	if len(methods) != 1 || f.Identity != nil || query.Get("choose") != "" || query.Get("error") != "" {
		return nil
	}
	m := &methods[0]
	if m.Ready == nil || !m.Ready() {
		return nil
	}
	return m
}

// signedInView tells whoever is about to be somebody else in a browser who is
// signed in there, what becomes of that, and the way back.
type signedInView struct{ Text, Button, URL string }

func (p *identityPage) signedIn(f *flows.Flow, who *sessions.Known) *signedInView {
	if who == nil || p.known.OnlyMethod() != nil {
		return nil
	}
	t := p.pages.Text()
	name, _ := p.person(who.Identity)
	return &signedInView{
		Text:   fmt.Sprintf(t.SignedInAs, short(name), date(who.Until)),
		Button: fmt.Sprintf(t.ContinueAs, short(name)),
		URL:    pageURL(servicesPath, f, ""),
	}
}

// leftKind returns the kind of the identity that the person wants to exchange for
// another; empty if they only say who they are.
func leftKind(r *http.Request, f *flows.Flow, who *sessions.Known) string {
	switch {
	case r.URL.Query().Get("choose") == "":
		return ""
	case who != nil:
		return who.Identity.Kind
	case f.Identity != nil:
		return f.Identity.Kind
	}
	return ""
}

// accept takes the form of a method.
func (p *identityPage) accept(kind identity.Kind) flowHandler {
	return func(w http.ResponseWriter, r *http.Request, f *flows.Flow) error {
		m, err := p.signIn.method(kind)
		if err != nil {
			return err
		}
		focus := r.PostForm.Get("focus")
		if m.Start != nil {
			pending := identity.PendingLogin{FlowID: f.SealedID, Focus: focus, OtherAccount: wantsOther(r), Wanted: p.flows.Wanted(f)}
			return p.logins.start(w, r, m, pageURL(server.ConsentPath, f, ""), pending)
		}
		who, err := p.signIn.identify(r, m, f.ID)
		return p.proceed(w, r, f, focus, who, err)
	}
}

// proceed goes on as the person, or asks again.
func (p *identityPage) proceed(w http.ResponseWriter, r *http.Request, f *flows.Flow, focus string, who *persons.Login, err error) error {
	if err != nil {
		return p.notIdentified(w, r, pageURL(server.ConsentPath, f, ""), err)
	}
	if f.Identity != nil && !f.Identity.Same(who.Identity()) {
		if err := p.connections.startOver(r.Context(), f, p.flows.Asked(f)); err != nil {
			return err
		}
	}
	if m := p.cfg.SignIn.Of(who.Identity().Kind); m != nil {
		event.Learn(r.Context(), event.Event{Provider: m.Provider})
	}
	// The browser may go away now: what it came with may work only once.
	if err := p.flows.SignIn(context.WithoutCancel(r.Context()), f, who); err != nil { // which records it
		return err
	}
	p.pages.Redirect(w, pageURL(servicesPath, f, "", "focus", p.connections.serverID(focus)))
	return nil
}
