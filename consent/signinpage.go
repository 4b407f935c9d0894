package consent

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
)

// signInPage is where people sign in outside of any flow: at the account page,
// or the page of a connect link.
type signInPage struct {
	*web
	*describer
	sessions    *sessions.Sessions
	links       *server.Links
	connections *connections
	signIn      *signIn
	logins      *logins
}

// signInView is what the page says besides what it asks.
type signInView struct {
	Status int
	Lead   string
	Done   string // what the person just did, if anything
	Ticket string // of the link that they opened, if any
	// Elsewhere tells where else they are signed in, if anywhere.
	Elsewhere *signedInView
}

// show asks who the person is. Anonymous people cannot sign in here: one who went
// on without an account in a flow is known by their browser alone.
func (p *signInPage) show(w http.ResponseWriter, r *http.Request, s *sessions.Session, v signInView) error {
	t := p.pages.Text()
	methods := slices.DeleteFunc(p.cfg.SignIn.ForPeople(), func(m identity.Method) bool { return m.SingleUse })
	frame := p.pages.Frame(fmt.Sprintf(t.IdentityTitle, p.site))
	asked, n := promptsOf(r, methods, false, ""), p.notice(r)
	frame.HasProblem = n.Text != ""
	asked.place(&n, r.URL.Query().Get("error"))
	return p.pages.Render(w, v.Status, "signin", struct {
		pages.Frame
		fields
		prompts
		Lead, Done string
		Notice     notice
		Elsewhere  *signedInView
	}{
		Frame:   frame,
		fields:  fields{Ticket: v.Ticket, Focus: p.connections.serverID(r.URL.Query().Get("focus")), CSRFToken: s.CSRFToken, FormsPath: accountFormsPath},
		prompts: asked,
		Lead:    v.Lead,
		Done:    v.Done,
		Notice:  n, Elsewhere: v.Elsewhere,
	})
}

// accept takes the form of a method. All it knows of where the person was going
// is a ticket of ours, so it leads nowhere else.
func (p *signInPage) accept(kind identity.Kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		next := withQuery(accountPath, "focus", p.connections.serverID(r.PostForm.Get("focus")))
		if ticket := r.PostForm.Get("ticket"); ticket != "" {
			if _, err := p.links.Open(ticket); err != nil {
				return err
			}
			next = server.ConnectPath + ticket
		}
		m, err := p.signIn.method(kind)
		if err != nil {
			return err
		}
		if m.Start != nil {
			return p.logins.start(w, r, m, next, identity.PendingLogin{ReturnTo: next, OtherAccount: wantsOther(r)})
		}
		who, err := p.signIn.identify(r, m, "")
		return p.proceed(w, r, next, who, err)
	}
}

// proceed signs the person in, or asks again.
func (p *signInPage) proceed(w http.ResponseWriter, r *http.Request, next string, who *persons.Login, err error) error {
	if err != nil {
		return p.notIdentified(w, r, next, err)
	}
	id, err := p.sessions.SignIn(w, r, who)
	if err != nil {
		return err
	}
	p.signedIn(r, p.cfg.SignIn, id)
	p.pages.Redirect(w, next)
	return nil
}
