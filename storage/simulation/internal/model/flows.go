package model

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const resource, redirect, challenge = issuer + "/mcp", "http://127.0.0.1/callback", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

// hash names a secret; none is zero.
func hash(name string) storage.Hash {
	if name == "" {
		return storage.Hash{}
	}
	return storage.HashOf(name)
}

// cookie is of the browser that a flow goes on in.
func (w *World) cookie() string { return among(w, "cookie-1", "cookie-2") }

// aFlow is a new flow, or one that there is.
func (w *World) aFlow() string {
	if len(w.flows) > 0 && w.one(3) {
		return pick(w, w.flows)
	}
	id := w.fresh("flow-")
	w.flows = append(w.flows, id)
	return id
}

func (f flow) toStore(id string, k Clock) storage.Flow {
	return storage.Flow{ID: id, Issuer: issuer, Identity: f.identity, Browser: hash(f.browser), Session: hash(f.session), ExpiresAt: k.At(f.expires)}
}

func (w *World) saveFlow() *Operation {
	id := w.aFlow()
	f := flow{identity: w.who(), browser: w.cookie(), expires: w.ends(15 * time.Minute)}
	if len(w.sessions) > 0 && w.one(4) {
		f.session = pick(w, w.sessions)
		if !w.one(4) {
			f.identity = w.signIns[f.session].identity
		}
	}
	now := w.Now
	return &Operation{
		Verb: "SaveFlow", Args: fmt.Sprintf("%s, %s, session %q", id, f.identity.Subject+f.identity.Proof, f.session),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			v, err := s.SaveFlow(ctx, f.toStore(id, k), k.At(now))
			return verdict(v, nil, err)
		},
		Saw: func(got Answer) {
			if got.err == nil && got.verdict == storage.OK {
				w.flowAs[id] = &f
			}
		},
		Apply: func(s *state, got *Answer) error { return got.wants(s.saveFlow(id, f, now)) },
	}
}

func (s *state) saveFlow(id string, f flow, now time.Time) storage.Verdict {
	old, known := s.flows[id]
	known = known && there(old.expires, now)
	switch {
	case known && old.submitted:
		return storage.Submitted
	case f.session != "" && !s.holds(f.identity, f.session, "", now):
		return storage.SignedOut
	case known && !old.identity.Same(f.identity):
		s.endFlow(id, now)
	}
	s.flows[id] = f
	return storage.OK
}

func (w *World) readFlow() *Operation {
	id, now := pick(w, w.flows), w.Now
	return &Operation{
		Verb: "Flow", Args: id, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			f, err := s.Flow(ctx, id, k.At(now))
			return found(f, err)
		},
		Apply: func(s *state, got *Answer) error {
			f, live := s.liveFlow(id, now)
			if err := got.isThere(live); err != nil || got == nil || !live {
				return err
			}
			seen := got.value.(storage.Flow)
			return cmp.Or(equal("submitted", seen.Submitted, f.submitted), equal("subject", seen.Identity.Subject, f.identity.Subject))
		},
	}
}

// submission is what somebody submits.
type submission struct {
	id       string
	seen     storage.Flow
	begins   *flow // with it, if it does
	approves bool
	grant    *knownGrant
	grantEnd time.Time
	absolute time.Time
	codeEnd  time.Time
	quota    string
	adopt    []storage.Connection // sealed for the owner
	browser  *signIn
}

// submitFlow submits a flow as somebody saw it a moment ago: reading it and what was
// connected in it is part of the call, as it is of a page.
func (w *World) submitFlow() *Operation {
	id := pick(w, w.flows)
	if last := w.flows[len(w.flows)-1]; w.one(2) {
		id = last
	}
	return w.submit(id)
}

// submitNext has one of these flows submitted next, if there is one.
func submitNext(w *World, these func(*flow) bool) {
	of := but(w.flows, func(id string) bool { return w.flowAs[id] == nil || !these(w.flowAs[id]) })
	if id := pick(w, of); id != "" {
		w.ask = func() *Operation { return w.submit(id) }
	}
}

func (w *World) submit(id string) *Operation {
	sub := submission{id: id, approves: !w.one(6)}
	sub.grant = &knownGrant{id: w.fresh("grant-"), client: pick(w, w.clients).id, code: w.fresh("code-"), proves: !w.one(3)}
	sub.grant.identity = w.who()
	if w.one(3) {
		sub.quota = among(w, "here", "there")
	}
	now := w.Now
	sub.grantEnd, sub.absolute, sub.codeEnd = w.ends(24*time.Hour), w.ends(60*24*time.Hour), w.ends(5*time.Minute)
	f := w.flowAs[sub.id]
	if f != nil && !w.one(8) {
		sub.grant.identity, sub.seen.Session = f.identity, hash(f.session)
	}
	sub.seen.Identity = sub.grant.identity
	session := ""
	if f != nil {
		session = f.session
	}
	if w.one(4) {
		sub.begins = &flow{identity: sub.seen.Identity, browser: w.cookie(), expires: w.ends(15 * time.Minute)}
		if f != nil {
			sub.begins.session = f.session
		}
		if hash(sub.begins.session) != sub.seen.Session {
			sub.begins = nil
		} else if w.one(2) {
			sub.id = w.fresh("flow-")
			w.flows = append(w.flows, sub.id)
		}
	}
	if sub.approves && session == "" && w.one(3) {
		sub.browser = w.signIn(sub.grant.identity)
	}
	if sub.approves {
		sub.adopt = adoption(w, sub.id, sub.grant.identity.Subject)
	}
	return &Operation{
		Verb: "SubmitFlow", Args: sub.String(),
		Saw: func(got Answer) {
			w.noteSignIn(sub.browser)(got)
			if sub.approves && (got.err != nil || got.verdict == storage.OK || w.one(6)) {
				w.grants = append(w.grants, sub.grant)
			}
		},
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			v, err := s.SubmitFlow(ctx, sub.toStore(k, now))
			return verdict(v, nil, err)
		},
		Apply: func(s *state, got *Answer) error { return got.wants(s.submit(sub, session, now)) },
	}
}

// submit is SubmitFlow.
func (s *state) submit(sub submission, session string, now time.Time) storage.Verdict {
	if sub.begins != nil {
		if v := s.saveFlow(sub.id, *sub.begins, now); v != storage.OK {
			return v
		}
	}
	f, live := s.liveFlow(sub.id, now)
	switch {
	case !live:
		return storage.Unknown
	case f.submitted:
		return storage.Submitted
	case !f.identity.Same(sub.seen.Identity) || hash(f.session) != sub.seen.Session:
		return storage.Changed
	case f.session != "" && !s.holds(f.identity, f.session, "", now):
		return storage.SignedOut
	case sub.approves && !s.adoptsAsSeen(sub, now):
		return storage.Changed
	}
	f.submitted = true
	s.flows[sub.id] = f
	s.adopt(sub, now)
	if !sub.approves {
		return storage.OK
	}
	g := sub.grant
	s.grants[g.id] = grant{client: g.client, identity: g.identity, created: now, expires: sub.grantEnd, absolute: sub.absolute, quota: sub.quota}
	s.codes[g.code] = code{grant: g.id, client: g.client, expires: sub.codeEnd}
	if sub.browser != nil {
		s.createSession(sub.browser, now)
	}
	if c, known := s.clients[g.client]; known && there(c.expires, now) {
		c.expires = latest(c.expires, sub.absolute.Add(time.Hour))
		c.used = c.used || sub.quota == ""
		switch {
		case c.used:
			c.quota, c.approved = "", time.Time{}
		case c.quota == "":
			c.quota = sub.quota
		}
		if !c.used {
			c.approved = now
		}
		s.clients[g.client] = c
		if !c.used {
			// In the queue of the first quota, by the bound of this one.
			s.boundClients(g.client, c.quota, maxQuota)
		}
	}
	if sub.quota != "" {
		s.boundGrants(g.id, sub.quota, now)
	}
	return storage.OK
}
