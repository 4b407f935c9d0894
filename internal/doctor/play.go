package doctor

import (
	"cmp"
	"context"
)

// player plays one family: what it asks for on its way, and what it makes of it. How
// it signs in once it knows where is a signIn.
type player struct {
	*examination
	ctx   context.Context
	f     family
	steps []Step
	// reached is how far it came, unless it was stopped.
	reached Reached
	token   string
}

func (x *examination) play(ctx context.Context, f family) ClientReport {
	p := &player{examination: x, ctx: ctx, f: f, token: x.o.Token, reached: Person}
	if !p.connect() && p.reached == Person {
		p.reached = Stopped
	}
	return ClientReport{ID: f.id, Title: f.title, Like: f.like, Reached: p.reached, Steps: p.steps}
}

// connect goes the way of the family as far as it goes without a person, and
// reports whether nothing stopped it.
func (p *player) connect() bool {
	if p.f.registers == byConfig && p.o.ClientID == "" {
		return p.leave(Skipped, "start", "no client ID was given")
	}
	if p.f.hosted && p.wire.anywhere.Load() {
		return p.leave(Skipped, "start", "the address is not on the internet, so they cannot come here")
	}
	first, ok := p.first()
	if !ok {
		return false
	}
	if first.open {
		p.report.SignIn = cmp.Or(p.report.SignIn, "none")
		p.did("sign-in", "not needed")
		return p.calls("")
	}
	p.signsIn = true
	resource, ok := p.resource(first)
	if !ok {
		return false
	}
	provider, ok := p.provider(resource)
	if !ok {
		return false
	}
	c, ok := p.register(provider)
	if !ok && p.reached == Skipped && p.token != "" {
		p.reached = Person
		return p.calls(p.token)
	}
	if !ok {
		return false
	}
	at := &signIn{player: p, provider: provider, client: c, resource: resource}
	if !at.authorize() || !at.tokenEndpoint() {
		return false
	}
	if p.token == "" {
		return true
	}
	return p.calls(p.token)
}

// did adds a step that went well.
func (p *player) did(step, text string) {
	p.steps = append(p.steps, Step{Name: step, OK: true, Text: said(text)})
}

// leave ends the way of a family that is not stopped by anything wrong.
func (p *player) leave(reached Reached, step, why string) bool {
	p.reached = reached
	p.steps = append(p.steps, Step{Name: step, Text: said(why)})
	return false
}

// note records a finding in spite of which the client goes on.
func (p *player) note(k *Kind, at, seen string, from *answer) {
	p.find(k, at, seen, from, p.f.id)
}

// stop records a finding that the client cannot go on from.
func (p *player) stop(step string, k *Kind, at, seen string, from *answer) bool {
	p.note(k, at, seen, from)
	p.steps = append(p.steps, Step{Name: step, Text: said(k.Title + ": " + seen)})
	return false
}

// noAnswer stops at a request that had no answer that means anything.
func (p *player) noAnswer(step string, a *answer) bool {
	at := a.request.url
	switch {
	case a.err == nil && a.status == 429:
		p.report.Reason = "the server asks to come back later (429)"
		p.steps = append(p.steps, Step{Name: step, Text: p.report.Reason})
		return false
	case a.err == nil:
		return p.stop(step, serverError, at, a.describe(), a)
	case untrusted(a.err):
		return p.stop(step, badCertificate, at, a.describe(), a)
	case isPrivate(a.err):
		return p.stop(step, privateAddress, at, a.describe(), a)
	}
	return p.stop(step, unreachable, at, a.describe(), a)
}

// silent reports whether an answer says nothing: there is none, or only that
// the server cannot answer.
func (a *answer) silent() bool { return a.err != nil || a.status == 429 || a.status >= 500 }
