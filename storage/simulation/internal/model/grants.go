package model

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// choose returns the choice of one tool, or of all if there is none.
func choose(tool string) []storage.Choice {
	if tool == "" {
		return nil
	}
	return []storage.Choice{{Resource: resource, Tools: []string{tool}, Others: storage.NoOthers}}
}

// chosenOf is the tool that was chosen.
func chosenOf(chosen []storage.Choice) string {
	if len(chosen) == 0 {
		return ""
	}
	return strings.Join(chosen[0].Tools, " ")
}

// changeGrant lets a client use another tool, or for a shorter time.
func changeGrant(w *World) *Operation {
	g, now := w.someGrant(), w.Now
	subject, tool, by := g.identity.Subject, "", time.Time{}
	if w.one(8) {
		subject = "another"
	}
	if !w.one(4) {
		tool = w.fresh("tool-")
	}
	if w.one(3) {
		by = w.ends(10 * time.Minute)
	}
	return &Operation{
		Verb: "ChangeGrant", Args: fmt.Sprintf("%s of %s, tool %q, shorter %t", g.id, subject, tool, !by.IsZero()),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			change := storage.GrantChange{ID: g.id, Issuer: issuer, Subject: subject, Chosen: choose(tool), Now: k.At(now)}
			if !by.IsZero() {
				change.EndsBy = k.At(by)
			}
			rev, err := s.ChangeGrant(ctx, change)
			return found(revoked{rev}, err)
		},
		Apply: func(s *state, got *Answer) error {
			live := s.grantVerdict(g.id, now) == storage.OK && subject == g.identity.Subject
			if err := got.isThere(live); err != nil || !live {
				return err
			}
			changed := s.grants[g.id]
			changed.chosen = tool
			if !by.IsZero() {
				changed.expires, changed.absolute = earliest(changed.expires, by), earliest(changed.absolute, by)
			}
			s.grants[g.id] = changed
			access := s.accessOf(g.id, now)
			for name, t := range access {
				t.expires = earliest(t.expires, changed.absolute)
				s.access[name] = t
			}
			if got == nil || got.err != nil {
				return nil
			}
			return cmp.Or(got.isDone(), got.value.(revoked).forgets([]string{g.id}, access))
		},
	}
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (w *World) readGrant() *Operation {
	id, now := w.someGrant().id, w.Now
	return &Operation{
		Verb: "Grant", Args: id, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			g, err := s.Grant(ctx, id, k.At(now))
			return found(g, err)
		},
		Apply: func(s *state, got *Answer) error {
			g, known := s.grants[id]
			live := known && there(g.expires, now) && s.alive(g.identity, now)
			if err := got.isThere(live); err != nil || got == nil || !live {
				return err
			}
			seen := got.value.(storage.Grant)
			return cmp.Or(equal("revoked", !seen.RevokedAt.IsZero(), g.revoked), equal("chosen", chosenOf(seen.Chosen), g.chosen))
		},
	}
}

// readLastGrant asks for the newest grant of a person and a client, mostly of two who
// have one.
func readLastGrant(w *World) *Operation {
	g, now := w.someGrant(), w.Now
	subject, clientID := g.identity.Subject, g.client
	if w.one(4) {
		subject = among(w, subjects...)
	}
	return &Operation{
		Verb: "LastGrant", Args: fmt.Sprintf("%s of %s", clientID, subject), Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			g, err := s.LastGrant(ctx, issuer, subject, clientID, k.At(now))
			return found(g, err)
		},
		Apply: func(s *state, got *Answer) error {
			last := ""
			for id, g := range s.grants {
				if g.client != clientID || g.identity.Subject != subject || s.grantVerdict(id, now) != storage.OK {
					continue
				}
				if last == "" || cmp.Or(g.created.Compare(s.grants[last].created), cmp.Compare(id, last)) > 0 {
					last = id
				}
			}
			if err := got.isThere(last != ""); err != nil || got == nil || last == "" {
				return err
			}
			seen := got.value.(storage.Grant)
			return cmp.Or(equal("grant", seen.ID, last), equal("chosen", chosenOf(seen.Chosen), s.grants[last].chosen))
		},
	}
}

func (w *World) revokeGrant() *Operation {
	id, now := w.someGrant().id, w.Now
	return &Operation{
		Verb: "RevokeGrant", Args: id,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			rev, err := s.RevokeGrant(ctx, id, k.At(now))
			return found(revoked{rev}, err)
		},
		Apply: func(s *state, got *Answer) error {
			return cmp.Or(got.isDone(), s.revokeAll(func(of string, _ grant) bool { return of == id }, now, got))
		},
	}
}

// listGrants is Grants, GrantsOfClient or GrantsOf.
func (w *World) listGrants() *Operation {
	now, verb := w.Now, among(w, "Grants", "GrantsOfClient", "GrantsOf")
	clientID, subject := pick(w, w.clients).id, among(w, subjects...)
	name := func(g storage.Grant) string { return g.ID }
	args := map[string]string{"GrantsOfClient": clientID, "GrantsOf": subject}[verb]
	return &Operation{
		Verb: verb, Args: args, Reads: true, Alone: verb != "GrantsOf",
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			if verb == "GrantsOf" {
				all, err := s.GrantsOf(ctx, issuer, subject, k.At(now))
				return found(names(all, name), err)
			}
			all, err := pages(func(after string) ([]storage.Grant, string, error) {
				if verb == "Grants" {
					return s.Grants(ctx, after, 2, k.At(now))
				}
				return s.GrantsOfClient(ctx, issuer, clientID, after, 2, k.At(now))
			})
			return found(names(all, name), err)
		},
		Apply: func(s *state, got *Answer) error {
			var want []string
			for id, g := range s.grants {
				of := verb == "Grants" || verb == "GrantsOfClient" && g.client == clientID || verb == "GrantsOf" && g.identity.Subject == subject
				if of && s.grantVerdict(id, now) == storage.OK {
					want = append(want, id)
				}
			}
			slices.Sort(want)
			return got.lists(append([]string{}, want...))
		},
	}
}

func (sub submission) String() string {
	text := fmt.Sprintf("%s, %s", sub.id, sub.seen.Identity.Subject+sub.seen.Identity.Proof)
	if sub.begins != nil {
		text += fmt.Sprintf(", begins with it, session %q", sub.begins.session)
	}
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
	if f := sub.begins; f != nil {
		out.Begins = &storage.Flow{
			ID: sub.id, Issuer: issuer, Identity: f.identity, Browser: hash(f.browser), Session: hash(f.session), ExpiresAt: k.At(f.expires),
		}
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

// issueGrant is a program that gets a token for itself.
func issueGrant(w *World) *Operation {
	g, now := &knownGrant{id: w.fresh("grant-"), client: pick(w, w.clients).id, identity: w.who(), code: w.fresh("no code-"), claimed: true}, w.Now
	token, end, once := w.fresh("access-"), w.ends(10*time.Minute), w.usesUp(8)
	g.access = []string{token}
	quota := "service " + g.identity.Subject
	return &Operation{
		Verb: "IssueGrant", Args: fmt.Sprintf("%s%s ⇒ %s for %s, %s", g.identity.Subject+g.identity.Proof, describeUse(once), g.id, g.client, token),
		Saw: func(Answer) { w.grants = append(w.grants, g) },
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			v, err := s.IssueGrant(ctx, storage.ServiceGrant{
				Grant: storage.Grant{
					ID: g.id, Issuer: issuer, ClientID: g.client, Identity: g.identity, Scope: []string{"mcp:use"}, Resources: []string{resource},
					CreatedAt: k.At(now), LastUsedAt: k.At(now), ExpiresAt: k.At(end), AbsoluteExpiresAt: k.At(end),
				},
				Access: storage.AccessToken{
					Hash: hash(token), GrantID: g.id, Issuer: issuer, ClientID: g.client, Identity: g.identity, Scope: []string{"mcp:use"},
					Audience: []string{resource}, IssuedAt: k.At(now), ExpiresAt: k.At(end),
				},
				Max: maxQuota, UsesUp: useAt(once, k), Now: k.At(now),
			})
			return verdict(v, nil, err)
		},
		Apply: func(s *state, got *Answer) error {
			if s.usedBefore(once, now) {
				return got.wants(storage.AlreadyUsed)
			}
			s.grants[g.id] = grant{client: g.client, identity: g.identity, created: now, expires: end, absolute: end, quota: quota}
			s.access[token] = accessToken{grant: g.id, client: g.client, identity: g.identity, expires: end}
			s.boundGrants(g.id, quota, now)
			return got.wants(storage.OK)
		},
	}
}
