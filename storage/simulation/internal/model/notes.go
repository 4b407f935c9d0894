package model

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

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
	of := slices.DeleteFunc(slices.Clone(w.grants), func(g *knownGrant) bool { return len(g.access) == 0 })
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

// noteOfToken is that an access token is good. Nobody is told of one that gave way to
// newer ones, or whose grant dropped out of a quota.
func noteOfToken(g *knownGrant, token string) Note {
	gone := false
	return Note{
		Name: token,
		Read: func(ctx context.Context, s storage.Store, now time.Time) (string, time.Time, error) {
			_, err := s.Grant(ctx, g.id, now)
			gone = errors.Is(err, storage.ErrNotFound)
			t, err := s.AccessToken(ctx, hash(token), now)
			if p, known := s.Person(ctx, issuer, t.Identity.Subject, now); err == nil && t.Identity.Person != "" && known == nil && p.ExpiresAt.Before(t.ExpiresAt) {
				t.ExpiresAt = p.ExpiresAt
			}
			return orNothing("good", t.ExpiresAt, err)
		},
		EndsBy: func(c storage.Change) bool {
			return c.Kind == storage.TokensEnded && (slices.Contains(c.AccessTokens, hash(token)) || slices.Contains(c.GrantIDs, g.id)) ||
				c.Kind == storage.PersonChanged && c.Subject == g.identity.Subject
		},
		Void: func() bool { return gone || len(g.access) > storage.MaxAccessTokens },
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
