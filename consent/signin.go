package consent

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// signIn finds out who a person is, by whichever method, and bounds how often
// that may be tried.
type signIn struct {
	cfg     *config.Site
	limits  *ratelimit.Attempts
	persons *persons.Persons
	text    *pages.Text
}

// method returns a method that the operator offers.
func (s *signIn) method(kind identity.Kind) (*identity.Method, error) {
	m := s.cfg.SignIn.Of(string(kind))
	if m == nil {
		return nil, refuse(http.StatusForbidden, "not_offered", s.text.NotOffered)
	}
	return m, nil
}

// identify returns whom a form is from, or an *identity.Denied. who is what
// wrong ones are counted for.
func (s *signIn) identify(r *http.Request, m *identity.Method, who string) (*persons.Login, error) {
	id, err := m.Identify(r)
	if err == nil && !m.ExcludesStrangers && !s.limits.AllowUnproved(r) {
		return nil, tooMany(s.text.TooManySignIns)
	}
	return s.login(r, who, identity.Person{Identity: id}, err)
}

// finish returns who came back from where they signed in, or an
// *identity.Denied. That they sign in was counted when they left.
func (s *signIn) finish(r *http.Request, m *identity.Method, who string, a identity.Answer) (*persons.Login, error) {
	// The browser may go away now: what it came back with works only once.
	p, err := m.Finish(context.WithoutCancel(r.Context()), a)
	return s.login(r, who, p, err)
}

// login returns the login of a person, or why there is none. It bounds wrong secrets; a
// right one passes however many wrong ones came before.
func (s *signIn) login(r *http.Request, who string, p identity.Person, err error) (*persons.Login, error) {
	var denied *identity.Denied
	switch {
	case errors.As(err, &denied) && denied.Guess && !s.limits.AllowWrongSignIn(r, who):
		return nil, tooMany(s.text.TooManyWrong)
	case denied != nil && p.Subject != "":
		learnPerson(r, p.Identity)
		return nil, cmp.Or(s.persons.NotAllowed(context.WithoutCancel(r.Context()), p.Identity), err)
	case err != nil:
		return nil, err
	}
	return s.persons.Login(p), nil
}

// notIdentified leads somebody who was not identified back to the page they
// tried it on, with the reason.
func (c *web) notIdentified(w http.ResponseWriter, r *http.Request, page string, err error) error {
	if denied := (*identity.Denied)(nil); errors.As(err, &denied) {
		c.events.Record(r.Context(), event.Event{Kind: event.SignInRefused, Reason: denied.Code, Err: denied.Cause})
		c.pages.Redirect(w, withMore(page, "error", denied.Code))
		return nil
	}
	if own := (*failure)(nil); errors.As(err, &own) && own.Status == http.StatusTooManyRequests {
		return own.backTo(page)
	}
	return err
}

// signedIn records who a person is by now. Where they said so is known of their
// kind of identity.
func (c *web) signedIn(r *http.Request, methods identity.Methods, id storage.Identity) {
	learnPerson(r, id)
	e := event.Event{Kind: event.SignInSucceeded}
	if m := methods.Of(id.Kind); m != nil {
		e.Provider = m.Provider
	}
	c.events.Record(r.Context(), e)
}

// prompts are what a page asks people for.
type prompts struct{ Prompts []promptView }

// promptView is a prompt and the last segment of the path of its form.
type promptView struct {
	identity.Prompt
	Form  string
	Wrong *notice // why what the person sent with it was refused
	// OtherAccount tells that who presses the button may want another account than
	// they have where it leads to.
	OtherAccount bool

	messages map[string]string
}

// promptsOf returns what a page asks for. left is the kind of the identity that the
// person wants to exchange for another, if any.
func promptsOf(r *http.Request, methods identity.Methods, inFlow bool, left string) prompts {
	var p prompts
	for _, m := range methods {
		other := slices.Contains(m.WrongAccount, r.URL.Query().Get("error")) || string(m.Kind) == left
		p.Prompts = append(p.Prompts, promptView{
			Prompt: m.Prompt(r, inFlow), Form: m.Form, OtherAccount: other && m.Start != nil, messages: m.Messages,
		})
	}
	return p
}

// place moves a notice to the prompt that it is about. What may be about several
// stays where it is.
func (p prompts) place(n *notice, code string) {
	about := -1
	for i := range p.Prompts {
		switch {
		case p.Prompts[i].messages[code] == "" || n.Text == "":
		case about >= 0:
			return
		default:
			about = i
		}
	}
	if about >= 0 {
		wrong := *n
		p.Prompts[about].Wrong, *n = &wrong, notice{}
	}
}
