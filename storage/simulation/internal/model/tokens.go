package model

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const grace = time.Minute

// issue is what one token response creates.
type issue struct {
	access, refresh  string
	accessEnd, until time.Time
}

func (w *World) issue() issue {
	i := issue{w.fresh("access-"), w.fresh("refresh-"), w.ends(time.Hour), w.ends(30 * 24 * time.Hour)}
	return i
}

func (i issue) toStore(g *knownGrant, k Clock, now time.Time) storage.Issue {
	return storage.Issue{
		Access: storage.AccessToken{
			Hash: hash(i.access), GrantID: g.id, Issuer: issuer, ClientID: g.client, Identity: g.identity, Scope: []string{"mcp:use"},
			Audience: []string{resource}, IssuedAt: k.At(now), ExpiresAt: k.At(i.accessEnd),
		},
		Refresh:        &storage.RefreshToken{Hash: hash(i.refresh), GrantID: g.id, Issuer: issuer, ClientID: g.client, ExpiresAt: k.At(i.until)},
		GrantExpiresAt: k.At(i.until),
	}
}

// issue stores the tokens of one response, and returns the access tokens that give way.
func (s *state) issue(id string, i issue, now time.Time) map[string]accessToken {
	g := s.grants[id]
	if g.absolute.Before(i.accessEnd) {
		i.accessEnd = g.absolute
	}
	live := s.accessOf(id, now)
	order := 0
	for _, t := range live {
		order = max(order, t.order+1)
	}
	s.access[i.access] = accessToken{grant: id, client: g.client, identity: g.identity, expires: i.accessEnd, order: order}
	s.refresh[i.refresh] = refreshToken{grant: id, expires: i.until}
	g.head, g.expires = i.refresh, i.until
	if g.absolute.Before(g.expires) {
		g.expires = g.absolute
	}
	s.grants[id] = g
	gone := map[string]accessToken{}
	oldest := slices.SortedFunc(maps.Keys(live), func(a, b string) int { return cmp.Compare(live[a].order, live[b].order) })
	for _, name := range oldest[:max(0, len(oldest)+1-storage.MaxAccessTokens)] {
		gone[name] = live[name]
		delete(s.access, name)
	}
	return gone
}

func (w *World) claimCode() *Operation {
	g, i, now, proof, once := w.someGrant(), w.issue(), w.Now, challenge, w.usesUp(8)
	if g.claimed && !w.one(6) {
		return w.rotate() // most clients claim once
	}
	client := g.client
	if w.one(12) {
		client = "another"
	}
	if w.one(12) {
		proof = "wrong"
	}
	return &Operation{
		Verb: "ClaimCode", Saw: w.noteIssue(g, i), Args: fmt.Sprintf("%s of %s, client %s, proof %s…%s ⇒ %s, %s", g.code, g.id, client, proof[:5], describeUse(once), i.access, i.refresh),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			res, err := s.ClaimCode(ctx, storage.CodeClaim{
				Hash: hash(g.code), Issuer: issuer, ClientID: client, RedirectURI: redirect, Challenge: proof, Issue: i.toStore(g, k, now),
				UsesUp: useAt(once, k), Now: k.At(now),
			})
			return verdict(res.Verdict, revoked{res.Revocation}, err)
		},
		Apply: func(s *state, got *Answer) error {
			if s.usedBefore(once, now) {
				return got.wants(storage.AlreadyUsed)
			}
			c, known := s.codes[g.code]
			_, granted := s.grants[g.id]
			switch {
			case !known:
				return got.wants(storage.Unknown)
			case c.claimed && (!granted || !there(s.grants[g.id].absolute, now)), !c.claimed && !there(c.expires, now):
				// Gone, or not yet: what is still known of it may be said, or not.
				return got.wants(storage.Unknown, storage.Expired, storage.ProofFailed, storage.Replayed, storage.WrongClient)
			case client != c.client:
				return got.wants(storage.WrongClient)
			case c.proofFailed || c.claimed && proof != challenge:
				return got.wants(storage.ProofFailed)
			case c.claimed:
				return cmp.Or(got.wants(storage.Replayed), s.revokeAll(func(id string, _ grant) bool { return id == g.id }, now, got))
			case proof != challenge:
				c.proofFailed = true
				s.codes[g.code] = c
				return got.wants(storage.ProofFailed)
			}
			if v := s.grantVerdict(g.id, now); v != storage.OK {
				return got.wants(v)
			}
			c.claimed = true
			s.codes[g.code] = c
			s.issue(g.id, i, now)
			return got.wants(storage.OK)
		},
	}
}

// noteIssue remembers the tokens of an answer, also of one that got lost: somebody
// may hold them.
func (w *World) noteIssue(g *knownGrant, i issue) func(Answer) {
	return func(got Answer) {
		switch {
		case got.err != nil || got.verdict == storage.OK:
			g.tokens, g.access, g.claimed = append(g.tokens, i.refresh), append(g.access, i.access), true
		case got.verdict != storage.WrongClient && got.verdict != storage.Repeated:
			g.over = true
		}
	}
}

// someGrant is mostly one that is not over: that answers the same each time.
func (w *World) someGrant() *knownGrant {
	return cmp.Or(pick(w, but(w.grants, func(g *knownGrant) bool { return g.over && !w.one(8) })), pick(w, w.grants))
}

// tokenHolder is someGrant, mostly with refresh tokens.
func (w *World) tokenHolder() *knownGrant {
	return cmp.Or(pick(w, but(w.grants, func(g *knownGrant) bool { return len(g.tokens) == 0 || g.over && !w.one(8) })), w.someGrant())
}

func (w *World) readCode() *Operation {
	name, now := pick(w, w.grants).code, w.Now
	return &Operation{
		Verb: "Code", Args: name, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			c, err := s.Code(ctx, hash(name), k.At(now))
			return found(c, err)
		},
		Apply: func(s *state, got *Answer) error {
			c, known := s.codes[name]
			if known && c.claimed && !there(s.grants[c.grant].absolute, now) {
				return nil // it may be swept
			}
			live := known && (c.claimed || there(c.expires, now))
			if err := got.isThere(live); err != nil || got == nil || !live {
				return err
			}
			seen := got.value.(storage.Code)
			return cmp.Or(equal("claimed", seen.Claimed, c.claimed), equal("worthless", seen.ProofFailed, c.proofFailed))
		},
	}
}

func (w *World) readAccessToken() *Operation {
	g, now := w.tokenHolder(), w.Now
	token := pick(w, g.access)
	return &Operation{
		Verb: "AccessToken", Args: token, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			t, err := s.AccessToken(ctx, hash(token), k.At(now))
			return found(t, err)
		},
		Apply: func(s *state, got *Answer) error {
			t, known := s.access[token]
			live := known && there(t.expires, now) && s.alive(t.identity, now)
			if err := got.isThere(live); err != nil || got == nil || !live {
				return err
			}
			return equal("chosen", chosenOf(got.value.(storage.AccessToken).Chosen), s.grants[t.grant].chosen)
		},
	}
}

func (w *World) revokeAccessToken() *Operation {
	g, now := w.tokenHolder(), w.Now
	token, client := pick(w, g.access), g.client
	if w.one(4) {
		client = "another"
	}
	return &Operation{
		Verb: "RevokeAccessToken", Args: token + ", client " + client,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			removed, err := s.RevokeAccessToken(ctx, hash(token), issuer, client, k.At(now))
			return found(removed, err)
		},
		Apply: func(s *state, got *Answer) error {
			t, known := s.access[token]
			known = known && t.client == client && there(t.expires, now)
			if known {
				delete(s.access, token)
			}
			if got == nil {
				return nil
			}
			return cmp.Or(got.isDone(), equal("removed", got.value.(bool), known))
		},
	}
}
