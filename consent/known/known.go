// Package known is who may go on in a flow without signing in: people whose
// browser is signed in, and those whom another handler authenticates for each
// request, where the site knows people in no other way.
//
// It only spares the question who they are. What an application may do is asked
// of everybody, and nothing is stored before they pressed a button on a page that
// named them.
package known

import (
	"context"
	"errors"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// ErrTooMany: too many flows were begun from one address by people who proved
// nothing.
var ErrTooMany = errors.New("consent: too many sign-ins of people who proved nothing") // 429

// People are those who are known at a site.
type People struct {
	Site     *config.Site
	Sessions *sessions.Sessions
	Flows    *flows.Flows
	Persons  *persons.Persons
	Limits   *ratelimit.Attempts
}

// In returns who is known in a flow, or nil. In one in which somebody said who
// they are, nobody else is.
func (p *People) In(r *http.Request, f *flows.Flow) (*sessions.Known, error) {
	if m := p.OnlyMethod(); m != nil {
		id, ok := m.Current(r)
		if !ok || !p.Site.SignIn.Valid(id) {
			return nil, nil
		}
		return &sessions.Known{Identity: id}, nil
	}
	if f.Identity != nil && !f.IsRemembered() {
		return nil, nil
	}
	return p.Sessions.Known(r)
}

// OnlyMethod returns the method by which another handler tells who sends each
// request, if the site has no other; else nil.
func (p *People) OnlyMethod() *identity.Method {
	methods := p.Site.SignIn.ForPeople()
	if len(methods) != 1 || methods[0].Current == nil {
		return nil
	}
	return &methods[0]
}

// Adopt makes a flow in which nobody has said who they are that of the person
// whom the page named with the form in r.PostForm. If they are not known any more,
// it stays nobody's. It is flows.ErrChanged if somebody else is.
func (p *People) Adopt(r *http.Request, f *flows.Flow) error {
	return p.adopt(r, f, p.Flows.Remember)
}

// AdoptOnSubmit is Adopt for a form with which the flow ends: it becomes theirs with
// that.
func (p *People) AdoptOnSubmit(r *http.Request, f *flows.Flow) error {
	return p.adopt(r, f, p.Flows.RememberOnSubmit)
}

func (p *People) adopt(r *http.Request, f *flows.Flow, remember func(context.Context, *flows.Flow, *sessions.Known) error) error {
	if f.Identity != nil {
		return nil
	}
	who, err := p.In(r, f)
	if err != nil || who == nil {
		return err
	}
	if !identity.IsShown(r, who.Identity) {
		return flows.ErrChanged
	}
	m := p.Site.SignIn.Of(who.Identity.Kind)
	if !m.ExcludesStrangers && !p.Limits.AllowKnown(r) {
		return ErrTooMany
	}
	if m.Current != nil { // this request proves it
		if err := p.Persons.ProvedAgain(r.Context(), who.Identity); err != nil {
			return err
		}
	}
	return remember(r.Context(), f, who)
}
