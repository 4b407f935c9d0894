package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// NextShared makes up an operation of what only stores have that several processes
// share. It draws from rng, so that the others are the same without.
func (w *World) NextShared(rng *rand.Rand) *Operation {
	op := takeRates(rng, w.Now)
	if rng.IntN(3) == 0 {
		op = instances(rng, w.Now)
	}
	op.areas = areas[op.Verb]
	return op
}

// takeRates counts an event towards the rate of one address, and often of all.
func takeRates(rng *rand.Rand, now time.Time) *Operation {
	names := []string{[]string{"address-1", "address-2"}[rng.IntN(2)]}
	if rng.IntN(3) > 0 {
		names = append(names, "all")
	}
	rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	perMinute := map[string]int{"address-1": 2, "address-2": 2, "all": 3}
	now = now.Truncate(time.Microsecond)
	return &Operation{
		Verb: "TakeRates", Args: strings.Join(names, ", "),
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			var rates []storage.Rate
			for _, name := range names {
				rates = append(rates, storage.Rate{Key: hash(name), PerMinute: perMinute[name]})
			}
			return found(s.(storage.RateStore).TakeRates(ctx, rates))
		},
		// An event whose answer got lost may count again, so that there may be fewer than
		// the rate, and never more.
		Apply: func(s *state, got *Answer) error {
			fresh := true
			for _, name := range names {
				fresh = fresh && s.rates[name].IsZero()
				if s.rates[name].IsZero() {
					s.rates[name] = Base.AddDate(-1, 0, 0)
				}
			}
			switch {
			case got == nil || got.err != nil:
				return got.isDone()
			case !got.value.(bool) && fresh:
				return fmt.Errorf("nobody came before, and it is refused")
			case !got.value.(bool):
				return nil
			}
			for _, name := range names {
				cost := time.Minute / time.Duration(perMinute[name])
				until := latest(s.rates[name], now).Add(cost)
				if until.After(now.Add(time.Minute)) {
					return fmt.Errorf("%s: one more than %d in a minute", name, perMinute[name])
				}
				s.rates[name] = until
			}
			return nil
		},
	}
}

// instances says that a process is at work, or leaves.
func instances(rng *rand.Rand, now time.Time) *Operation {
	id := fmt.Sprint("instance-", rng.IntN(3))
	if rng.IntN(4) == 0 {
		return &Operation{
			Verb: "LeaveInstance", Args: id,
			Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
				return done(s.(storage.InstanceStore).LeaveInstance(ctx, id))
			},
			Apply: func(s *state, got *Answer) error {
				delete(s.instances, id)
				return got.isDone()
			},
		}
	}
	within := time.Minute
	return &Operation{
		Verb: "AnnounceInstance", Args: id,
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			all, err := s.(storage.InstanceStore).AnnounceInstance(ctx, storage.Instance{ID: id}, within)
			return found(names(all, func(i storage.Instance) string { return i.ID }), err)
		},
		Apply: func(s *state, got *Answer) error {
			s.instances[id] = now
			return got.lists(sorted(s.instances, func(seen time.Time) bool { return now.Sub(seen) <= within }))
		},
	}
}

// Note is something that a process remembers of a store until it is told of a change
// (storage.Watcher).
type Note struct {
	Name string
	// Read reads it, and until when it is good if nobody changes it. "" is what
	// nobody remembers.
	Read func(ctx context.Context, s storage.Store, now time.Time) (text string, until time.Time, err error)
	// EndsBy reports whether it is to be forgotten by a change.
	EndsBy func(c storage.Change) bool
	// Void reports whether it is something of which nobody is told by now.
	Void func() bool
}

// forever is the end of what has none.
var forever = Base.AddDate(100, 0, 0)

// Note makes up one about what callers know. It draws from rng, so that what is called
// is the same whether or not somebody remembers things.
func (w *World) Note(rng *rand.Rand) Note {
	switch rng.IntN(5) {
	case 0:
		return noteOfPerson([]string{"carol", "dave"}[rng.IntN(2)])
	case 1:
		return noteOfConnection([]string{"alice", "carol", storage.SharedOwner}[rng.IntN(3)], []string{"wiki", "mail"}[rng.IntN(2)])
	case 2:
		return noteOfKeys()
	case 3:
		return w.noteOfValue("rules")
	}
	of := but(w.grants, func(g *knownGrant) bool { return len(g.access) == 0 })
	if len(of) == 0 {
		return noteOfKeys()
	}
	g := of[rng.IntN(len(of))]
	return noteOfToken(g, g.access[rng.IntN(len(g.access))])
}

func never() bool { return false }

// orNothing is what a store answers about a record that may not be there.
func orNothing(text string, until time.Time, err error) (string, time.Time, error) {
	if until.IsZero() {
		until = forever
	}
	if errors.Is(err, storage.ErrNotFound) {
		return "", until, nil
	}
	return text, until, err
}

// noteOfToken is what an access token is good for. Nobody is told of one that gave way to
// newer ones.
func noteOfToken(g *knownGrant, token string) Note {
	return Note{
		Name: token,
		Read: func(ctx context.Context, s storage.Store, now time.Time) (string, time.Time, error) {
			t, err := s.AccessToken(ctx, hash(token), now)
			if p, known := s.Person(ctx, issuer, t.Identity.Subject, now); err == nil && t.Identity.Person != "" && known == nil && p.ExpiresAt.Before(t.ExpiresAt) {
				t.ExpiresAt = p.ExpiresAt
			}
			return orNothing("good for "+chosenOf(t.Chosen), t.ExpiresAt, err)
		},
		EndsBy: func(c storage.Change) bool {
			return c.Kind == storage.TokensEnded && (slices.Contains(c.AccessTokens, hash(token)) || slices.Contains(c.GrantIDs, g.id)) ||
				c.Kind == storage.PersonChanged && c.Subject == g.identity.Subject
		},
		Void: func() bool { return len(g.access) > storage.MaxAccessTokens },
	}
}

func noteOfPerson(subject string) Note {
	return Note{
		Name: subject, Void: never,
		Read: func(ctx context.Context, s storage.Store, now time.Time) (string, time.Time, error) {
			p, err := s.Person(ctx, issuer, subject, now)
			claims, _ := json.Marshal(p.Claims)
			return orNothing(p.ID+" "+strings.Join(p.EndedSessions, ",")+string(claims), p.ExpiresAt, err)
		},
		EndsBy: func(c storage.Change) bool { return c.Kind == storage.PersonChanged && c.Subject == subject },
	}
}

// noteOfConnection is that a connection works.
func noteOfConnection(owner, server string) Note {
	k := storage.ConnectionKey{Issuer: issuer, Owner: owner, Server: server}
	return Note{
		Name: owner + " at " + server, Void: never,
		Read: func(ctx context.Context, s storage.Store, now time.Time) (string, time.Time, error) {
			c, err := s.Connection(ctx, k, now)
			if err == nil && c.State != storage.Active {
				return "", c.ExpiresAt, nil
			}
			return orNothing(c.ID, c.ExpiresAt, err)
		},
		EndsBy: func(c storage.Change) bool {
			return c.Kind == storage.ConnectionChanged && c.ConnectionKey() == k
		},
	}
}

func noteOfKeys() Note {
	return Note{
		Name: "virtual keys", Void: never,
		Read: func(ctx context.Context, s storage.Store, _ time.Time) (string, time.Time, error) {
			all, _, err := s.VirtualKeys(ctx, issuer)
			text := "keys"
			for _, k := range all {
				text += " " + seenKey{k}.String()
			}
			return text, forever, err
		},
		EndsBy: func(c storage.Change) bool { return c.Kind == storage.VirtualKeysChanged },
	}
}

// noteOfValue is a site value, which nobody remembers once one was put.
func (w *World) noteOfValue(name string) Note {
	return Note{
		Name: name, Void: func() bool { return w.put[name] },
		Read: func(ctx context.Context, s storage.Store, now time.Time) (string, time.Time, error) {
			v, err := s.SiteValue(ctx, issuer, name, now)
			return orNothing(v.Text, v.ExpiresAt, err)
		},
		EndsBy: func(c storage.Change) bool { return c.Kind == storage.SiteValueChanged && c.Name == name },
	}
}
