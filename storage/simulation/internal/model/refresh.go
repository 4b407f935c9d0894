package model

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// replay is what is repeated to a client that lost the response.
type replay struct {
	revoked
	response string
}

func (r replay) String() string { return r.response + " " + r.revoked.String() }

func (w *World) rotate() *Operation {
	g := w.tokenHolder()
	token := "never issued"
	if len(g.tokens) > 0 {
		token = g.tokens[len(g.tokens)-1]
	}
	if w.one(6) {
		token = pick(w, g.tokens)
	}
	if g.rotated != "" && w.Now.Sub(g.rotatedAt) <= grace+time.Second && w.one(3) {
		token = g.rotated // its answer may have got lost
	}
	return w.exchange(g, token)
}

// exchange is of one of a grant's tokens.
func (w *World) exchange(g *knownGrant, token string) *Operation {
	i, now, client, proof, lasts := w.issue(), w.Now, g.client, "", grace
	if w.one(12) {
		client = "another"
	}
	if g.proves {
		proof = g.id
	}
	if w.one(8) {
		lasts = 0
	}
	once := w.usesUp(8)
	ends := &moment{at: now.Add(lasts)} // of its grace, if it is exchanged
	w.moments = append(w.moments, ends)
	return &Operation{
		Verb: "RotateRefreshToken", Args: fmt.Sprintf("%s of %s, client %s, proves %q, grace %s%s ⇒ %s, %s", token, g.id, client, proof, lasts, describeUse(once), i.access, i.refresh),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			res, err := s.RotateRefreshToken(ctx, storage.Rotation{
				Hash: hash(token), Issuer: issuer, ClientID: client, Grace: lasts, GrantID: proof,
				Issue: i.toStore(g, k, now), Replay: []byte(i.refresh), UsesUp: useAt(once, k), Now: k.At(now),
			})
			return verdict(res.Verdict, replay{revoked{res.Revocation}, string(res.Replay)}, err)
		},
		Saw: func(got Answer) {
			w.noteIssue(g, i)(got)
			if got.err == nil && got.verdict == storage.OK {
				g.rotated, g.rotatedAt = token, now
				ends.ask = func() *Operation { return w.exchange(g, token) }
			}
		},
		Apply: func(s *state, got *Answer) error {
			if s.usedBefore(once, now) {
				return got.wants(storage.AlreadyUsed)
			}
			want, revocation := s.rotate(token, client, proof, lasts, i, now, got)
			return cmp.Or(got.wants(want...), revocation)
		},
	}
}

// rotate is RotateRefreshToken. It returns the right verdicts, and what is wrong
// with what the answer says else.
func (s *state) rotate(token, client, proof string, lasts time.Duration, i issue, now time.Time, got *Answer) (right []storage.Verdict, wrong error) {
	one := func(v storage.Verdict) ([]storage.Verdict, error) { return []storage.Verdict{v}, nil }
	t, known := s.refresh[token]
	if (!known || t.forgotten) && proof == "" {
		return one(storage.Unknown)
	}
	id := t.grant
	if !known {
		id = proof
	}
	g, granted := s.grants[id]
	gone := !granted || !there(g.expires, now) || !s.alive(g.identity, now)
	switch {
	case gone || !t.forgotten && known && !there(t.expires, now) && t.rotated.IsZero():
		return []storage.Verdict{storage.Unknown, storage.Expired, storage.WrongClient, storage.Revoked}, nil
	case client != g.client:
		return one(storage.WrongClient)
	case g.revoked:
		return one(storage.Revoked)
	case known && !t.forgotten && proof == "" && !there(t.expires, now):
		return []storage.Verdict{storage.Unknown, storage.Expired}, nil
	}
	repeats := known && !t.forgotten && !t.rotated.IsZero() && there(t.expires, now)
	age := now.Sub(t.rotated)
	switch {
	case repeats && lasts > 0 && t.grace > 0 && age <= lasts && age <= t.grace && g.head == t.successor:
		if got != nil && got.err == nil {
			wrong = equal("response", got.value.(replay).response, t.replay)
		}
		return []storage.Verdict{storage.Repeated}, wrong
	case repeats || !known || t.forgotten || !t.rotated.IsZero():
		if got != nil && got.err == nil {
			a := *got
			a.value = got.value.(replay).revoked
			got = &a
		}
		return []storage.Verdict{storage.Replayed}, s.revokeAll(func(of string, _ grant) bool { return of == id }, now, got)
	}
	t.rotated, t.successor, t.grace, t.replay, t.kept = now, i.refresh, lasts, i.refresh, proof == ""
	s.refresh[token] = t
	if before, there := s.refresh[t.predecessor]; there {
		before.forgotten = true
		s.refresh[t.predecessor] = before
	}
	ended := s.issue(id, i, now)
	if proof != "" {
		next := s.refresh[i.refresh]
		next.predecessor = token
		s.refresh[i.refresh] = next
	}
	if got != nil && got.err == nil {
		wrong = got.value.(replay).forgets(nil, ended)
	}
	return []storage.Verdict{storage.OK}, wrong
}

func (w *World) readRefreshToken() *Operation {
	g, now := w.tokenHolder(), w.Now
	token := pick(w, g.tokens)
	return &Operation{
		Verb: "RefreshToken", Args: token, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			t, _, err := s.RefreshToken(ctx, hash(token), k.At(now))
			return found(t, err)
		},
		Apply: func(s *state, got *Answer) error {
			t, known := s.refresh[token]
			g, granted := s.grants[t.grant]
			live := known && !t.forgotten && there(t.expires, now) && granted && there(g.expires, now) && s.alive(g.identity, now)
			if err := got.isThere(live); err != nil || got == nil || !live {
				return err
			}
			return equal("rotated", !got.value.(storage.RefreshToken).RotatedAt.IsZero(), !t.rotated.IsZero())
		},
	}
}
