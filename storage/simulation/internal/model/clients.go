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

// maxUnused is how many registrations that nobody approved are kept, and
// maxQuota what somebody unproved may have.
const (
	maxUnused = 3
	maxQuota  = 2
)

func (w *World) createClient() *Operation {
	c, now := knownClient{w.fresh("client-"), w.fresh("registration-")}, w.Now
	expires := w.ends(24 * time.Hour)
	return &Operation{
		Verb: "CreateClient", Args: c.id,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			return done(s.CreateClient(ctx, storage.Client{
				ID: c.id, Issuer: issuer, Metadata: []byte(`{}`), RegistrationTokenHash: storage.HashOf(c.token),
				CreatedAt: k.At(now), ExpiresAt: k.At(expires),
			}, storage.Unused{Max: maxUnused}))
		},
		Saw: func(got Answer) {
			if !got.Failed() { // before, nobody knows its ID
				w.clients = append(w.clients, c)
			}
		},
		Apply: func(s *state, got *Answer) error {
			s.clients[c.id] = client{created: now, expires: expires, token: c.token}
			s.boundClients(c.id, "", maxUnused)
			return got.isDone()
		},
	}
}

// boundClients removes the oldest registrations of a queue, beyond a bound.
func (s *state) boundClients(newcomer, quota string, most int) {
	of := slices.DeleteFunc(slices.Collect(maps.Keys(s.clients)), func(id string) bool {
		return s.clients[id].used || s.clients[id].quota != quota
	})
	slices.SortFunc(of, func(a, b string) int {
		x, y := s.clients[a], s.clients[b]
		return cmp.Or(latest(x.created, x.approved).Compare(latest(y.created, y.approved)), cmp.Compare(a, b))
	})
	for _, id := range of[:max(0, len(of)-most)] {
		if id != newcomer {
			delete(s.clients, id)
		} else if len(of) > 1 {
			delete(s.clients, of[slices.Index(of, id)+1])
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (w *World) readClient() *Operation {
	id, now := pick(w, w.clients).id, w.Now
	return &Operation{
		Verb: "Client", Args: id, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			c, err := s.Client(ctx, id, k.At(now))
			return found(c, err)
		},
		Apply: func(s *state, got *Answer) error {
			c, known := s.clients[id]
			err := got.isThere(known && there(c.expires, now))
			if err == nil && got != nil && got.err == nil {
				err = equal("used", got.value.(storage.Client).Used, c.used)
			}
			return err
		},
	}
}

func (w *World) listClients() *Operation {
	now := w.Now
	return &Operation{
		Verb: "Clients", Reads: true, Alone: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			all, err := pages(func(after string) ([]storage.Client, string, error) { return s.Clients(ctx, after, 2, k.At(now)) })
			return found(names(all, func(c storage.Client) string { return c.ID }), err)
		},
		Apply: func(s *state, got *Answer) error {
			return got.lists(sorted(s.clients, func(c client) bool { return there(c.expires, now) }))
		},
	}
}

// revoked is what somebody is told to forget.
type revoked struct{ storage.Revocation }

func (r revoked) String() string { return fmt.Sprint("ending ", r.GrantIDs) }

// forgets tells what is wrong with a revocation: it names the grants that end, and
// all of their access tokens.
func (r revoked) forgets(grants []string, access map[string]accessToken) error {
	got := slices.Sorted(slices.Values(r.GrantIDs))
	slices.Sort(grants)
	if !slices.Equal(got, grants) {
		return fmt.Errorf("ends grants %v, want %v", got, grants)
	}
	for name := range access {
		if !slices.Contains(r.AccessTokens, storage.HashOf(name)) {
			return fmt.Errorf("does not tell that access token %s ends", name)
		}
	}
	return nil
}

// revokeAll revokes grants; what was wrong with the answer about it is returned.
func (s *state) revokeAll(which func(id string, g grant) bool, now time.Time, got *Answer) error {
	var must, may []string
	ending := map[string]accessToken{}
	for id, g := range s.grants {
		if !which(id, g) || g.revoked {
			continue
		}
		maps.Copy(ending, s.accessOf(id, now))
		if there(g.expires, now) {
			must = append(must, id)
		} else {
			may = append(may, id) // the sweep may have taken it
		}
		s.revoke(id)
	}
	if got == nil || got.err != nil {
		return nil
	}
	r := got.value.(revoked)
	r.GrantIDs = slices.DeleteFunc(slices.Clone(r.GrantIDs), func(id string) bool { return slices.Contains(may, id) })
	return r.forgets(must, ending)
}

func (w *World) updateClient() *Operation {
	i, now, revokes := w.rng.IntN(len(w.clients)), w.Now, w.one(2)
	c, token := w.clients[i], w.fresh("registration-")
	return &Operation{
		Verb: "UpdateClient", Args: fmt.Sprintf("%s, %s, revokes %t", c.id, c.token, revokes),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			rev, err := s.UpdateClient(ctx, storage.Client{
				ID: c.id, Issuer: issuer, Metadata: []byte(`{}`), RegistrationTokenHash: storage.HashOf(token),
			}, storage.HashOf(c.token), revokes, k.At(now))
			return found(revoked{rev}, err)
		},
		Saw: func(got Answer) {
			if got.err == nil {
				w.clients[i].token = token
			}
		},
		Apply: func(s *state, got *Answer) error {
			stored, known := s.clients[c.id]
			ok := known && there(stored.expires, now) && stored.token == c.token
			if err := got.isThere(ok); err != nil || !ok {
				return err
			}
			stored.token = token
			s.clients[c.id] = stored
			if !revokes {
				return nil
			}
			return s.revokeAll(func(_ string, g grant) bool { return g.client == c.id }, now, got)
		},
	}
}

func (w *World) deleteClient() *Operation {
	c, now := pick(w, w.clients), w.Now
	return &Operation{
		Verb: "DeleteClient", Args: c.id,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			rev, err := s.DeleteClient(ctx, c.id, k.At(now))
			return found(revoked{rev}, err)
		},
		Apply: func(s *state, got *Answer) error {
			stored, known := s.clients[c.id]
			ok := known && there(stored.expires, now)
			if err := got.isThere(ok); err != nil || !ok {
				return err
			}
			delete(s.clients, c.id)
			return s.revokeAll(func(_ string, g grant) bool { return g.client == c.id }, now, got)
		},
	}
}

// pages reads all pages of a list.
func pages[T any](page func(after string) ([]T, string, error)) (all []T, err error) {
	for after := ""; ; {
		more, next, err := page(after)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
		if next == "" || next == after {
			return all, nil
		}
		after = next
	}
}

// listed are the names of what was listed.
type listed []string

func (l listed) String() string { return fmt.Sprint([]string(l)) }

func names[T any](all []T, name func(T) string) listed {
	of := listed{}
	for _, r := range all {
		of = append(of, name(r))
	}
	return of
}

// sorted returns the names of those records that count, in order.
func sorted[T any](of map[string]T, counts func(T) bool) []string {
	all := []string{}
	for name, r := range of {
		if counts(r) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// lists compares a list, in whatever order it is.
func (a *Answer) lists(want []string) error {
	if a == nil {
		return nil
	}
	if a.err != nil {
		return a.isDone()
	}
	return same("list", slices.Sorted(slices.Values(a.value.(listed))), want)
}

// boundGrants removes the oldest grants of a quota, those that ended first.
func (s *state) boundGrants(newcomer, quota string, now time.Time) {
	of := slices.DeleteFunc(slices.Collect(maps.Keys(s.grants)), func(id string) bool { return s.grants[id].quota != quota || id == newcomer })
	slices.SortFunc(of, func(a, b string) int {
		return cmp.Or(s.grants[a].created.Compare(s.grants[b].created), cmp.Compare(a, b))
	})
	slices.SortStableFunc(of, func(a, b string) int { return cmp.Compare(s.valid(a, now), s.valid(b, now)) })
	for _, id := range of[:max(0, len(of)+1-maxQuota)] {
		s.forgetGrant(id)
	}
}

func (s *state) valid(id string, now time.Time) int {
	if s.grantVerdict(id, now) == storage.OK {
		return 1
	}
	return 0
}

// forgetGrant removes a grant as if it had never been.
func (s *state) forgetGrant(id string) {
	delete(s.grants, id)
	maps.DeleteFunc(s.codes, func(_ string, c code) bool { return c.grant == id })
	maps.DeleteFunc(s.access, func(_ string, t accessToken) bool { return t.grant == id })
	maps.DeleteFunc(s.refresh, func(_ string, t refreshToken) bool { return t.grant == id && !t.kept })
}
