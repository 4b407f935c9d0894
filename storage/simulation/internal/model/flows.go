package model

import (
	"cmp"
	"context"
	"fmt"
	"maps"
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

func (w *World) saveFlow() *Operation {
	id := w.fresh("flow-")
	if len(w.flows) > 0 && w.one(3) {
		id = pick(w, w.flows)
	} else {
		w.flows = append(w.flows, id)
	}
	f := flow{identity: w.who(), browser: w.cookie(), expires: w.ends(15 * time.Minute)}
	if len(w.sessions) > 0 && w.one(4) {
		f.session = pick(w, w.sessions)
	}
	now := w.Now
	return &Operation{
		Verb: "SaveFlow", Args: fmt.Sprintf("%s, %s, session %q", id, f.identity.Subject+f.identity.Proof, f.session),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			v, err := s.SaveFlow(ctx, storage.Flow{
				ID: id, Issuer: issuer, Identity: f.identity, Browser: hash(f.browser), Session: hash(f.session), ExpiresAt: k.At(f.expires),
			}, k.At(now))
			return verdict(v, nil, err)
		},
		Saw: func(got Answer) {
			if got.err == nil && got.verdict == storage.OK {
				w.flowAs[id] = &f
			}
		},
		Apply: func(s *state, got *Answer) error {
			old, known := s.flows[id]
			known = known && there(old.expires, now)
			switch {
			case known && old.submitted:
				return got.wants(storage.Submitted)
			case f.session != "" && !s.holds(f.identity, f.session, "", now):
				return got.wants(storage.SignedOut)
			case known && !old.identity.Same(f.identity):
				s.endFlow(id, now)
			}
			s.flows[id] = f
			return got.wants(storage.OK)
		},
	}
}

// endFlow forgets who a flow's person is, and what they connected.
func (s *state) endFlow(id string, now time.Time) {
	maps.DeleteFunc(s.pending, func(_ string, p connectState) bool { return p.key.Owner == storage.FlowOwner(id) })
	for k := range s.connections {
		if k.Owner != storage.FlowOwner(id) {
			continue
		}
		c := s.connections[k]
		if _, live := s.liveConnection(k, now); live {
			if c.onExpiry != "" {
				s.revocations[c.onExpiry] = revocation{due: c.expires, expires: c.onExpiryExpires}
			}
			delete(s.connections, k)
		} else {
			s.queueExpired(c, now, true) // now, or by the sweep
		}
	}
	delete(s.flows, id)
}

// endFlows ends the pending flows that are meant.
func (s *state) endFlows(now time.Time, meant func(flow) bool) {
	for id, f := range s.flows {
		if there(f.expires, now) && !f.submitted && meant(f) {
			s.endFlow(id, now)
		}
	}
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

func (w *World) endSubjectFlows() *Operation {
	subject, now := among(w, subjects...), w.Now
	return &Operation{
		Verb: "EndFlows", Args: subject,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			return done(s.EndFlows(ctx, issuer, subject, k.At(now)))
		},
		Apply: func(s *state, got *Answer) error {
			s.endFlows(now, func(f flow) bool { return f.identity.Subject == subject })
			return got.isDone()
		},
	}
}

// submission is what somebody submits.
type submission struct {
	id       string
	seen     storage.Flow
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
	sub := submission{id: pick(w, w.flows), approves: !w.one(6)}
	if last := w.flows[len(w.flows)-1]; w.one(2) {
		sub.id = last
	}
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
	if sub.approves && session == "" && w.one(3) {
		sub.browser = w.signIn(sub.grant.identity)
	}
	if sub.approves {
		sub.adopt = w.adoption(sub.id, sub.grant.identity.Subject)
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

func (sub submission) String() string {
	text := fmt.Sprintf("%s, %s", sub.id, sub.seen.Identity.Subject+sub.seen.Identity.Proof)
	if !sub.approves {
		return text + ", refused"
	}
	text += fmt.Sprintf(" ⇒ %s for %s, %s", sub.grant.id, sub.grant.client, sub.grant.code)
	if sub.quota != "" {
		text += ", quota " + sub.quota
	}
	for _, c := range sub.adopt {
		text += fmt.Sprintf(", adopts %s", c.Server)
	}
	if sub.browser != nil {
		text += ", signs in " + sub.browser.name
	}
	return text
}

func (sub submission) toStore(k Clock, now time.Time) storage.Submission {
	out := storage.Submission{
		FlowID: sub.id, Issuer: issuer, Identity: sub.seen.Identity, Session: sub.seen.Session, KeepClient: time.Hour, Now: k.At(now),
	}
	if !sub.approves {
		return out
	}
	g := sub.grant
	out.Grant = &storage.Grant{
		ID: g.id, Issuer: issuer, ClientID: g.client, Identity: g.identity, Scope: []string{"mcp:use"}, Resources: []string{resource},
		RedirectURI: redirect, CreatedAt: k.At(now), LastUsedAt: k.At(now), ExpiresAt: k.At(sub.grantEnd), AbsoluteExpiresAt: k.At(sub.absolute),
	}
	out.Code = &storage.Code{
		Hash: hash(g.code), GrantID: g.id, Issuer: issuer, ClientID: g.client, RedirectURI: redirect, Challenge: challenge, ExpiresAt: k.At(sub.codeEnd),
	}
	if sub.quota != "" {
		out.Quota = &storage.Quota{Key: hash(sub.quota), Block: hash("block of " + sub.quota), Max: maxQuota}
	}
	if sub.browser != nil {
		out.Browser = new(sub.browser.toStore(k, now))
	}
	for _, c := range sub.adopt {
		out.Adopt = append(out.Adopt, storage.ConnectionReplacement{Connection: c})
	}
	return out
}

// submit is SubmitFlow.
func (s *state) submit(sub submission, session string, now time.Time) storage.Verdict {
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
