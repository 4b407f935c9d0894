package model

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// revocation makes up one that is due soon.
func (w *World) revocation(server string) *storage.ProviderRevocation {
	r := &storage.ProviderRevocation{
		ID: w.fresh("revocation-"), Issuer: issuer, Server: server, Secret: []byte("sealed"),
		DueAt: w.Now.Add(time.Duration(w.rng.IntN(2)) * time.Minute), ExpiresAt: w.ends(24 * time.Hour),
	}
	w.revocations = append(w.revocations, r.ID)
	return r
}

func revocationAt(r *storage.ProviderRevocation, k Clock) *storage.ProviderRevocation {
	if r == nil {
		return nil
	}
	own := *r
	own.DueAt, own.ExpiresAt = k.At(r.DueAt), k.At(r.ExpiresAt)
	return &own
}

func (w *World) queueRevocation() *Operation {
	r := w.revocation("wiki")
	return &Operation{
		Verb: "QueueRevocation", Args: r.ID,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			return done(s.QueueRevocation(ctx, *revocationAt(r, k)))
		},
		Apply: func(s *state, got *Answer) error {
			s.revocations[r.ID] = revocation{due: r.DueAt, expires: r.ExpiresAt}
			return got.isDone()
		},
	}
}

func (w *World) endRevocation() *Operation {
	id := pick(w, w.revocations)
	return &Operation{
		Verb: "EndRevocation", Args: id,
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer { return done(s.EndRevocation(ctx, id)) },
		Apply: func(s *state, got *Answer) error {
			if !s.revocations[id].maybe {
				delete(s.revocations, id)
				return got.isDone()
			}
			for k, c := range s.connections {
				if c.onExpiry == id {
					c.maybeGone = true
					s.connections[k] = c
				}
			}
			return got.isDone()
		},
	}
}

func (w *World) dueRevocations() *Operation {
	now, retry, limit := w.Now, w.ends(time.Minute), 100
	if w.one(2) {
		limit = 1 + w.rng.IntN(2)
	}
	return &Operation{
		Verb: "DueRevocations", Args: fmt.Sprintf("at most %d", limit),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			all, err := s.DueRevocations(ctx, issuer, limit, k.At(now), k.At(retry))
			return found(names(all, func(r storage.ProviderRevocation) string { return r.ID }), err)
		},
		Apply: func(s *state, got *Answer) error {
			switch {
			case got == nil:
				s.handOutUnseen(limit, now, retry)
				return nil
			case got.err != nil:
				return got.isDone()
			}
			return s.handOut(got.value.(listed), limit, now, retry)
		},
	}
}

// swept removes the connection whose end queued a revocation.
func (s *state) swept(revocation string) {
	maps.DeleteFunc(s.connections, func(_ storage.ConnectionKey, c connection) bool { return c.onExpiry == revocation })
}

func (w *World) saveConnectState() *Operation {
	name, p := w.fresh("state-"), connectState{key: w.key(), browser: w.cookie(), expires: w.ends(10 * time.Minute)}
	w.pending = append(w.pending, name)
	return &Operation{
		Verb: "SaveConnectState", Args: fmt.Sprintf("%s, %s, %s, in %s", name, p.key.Owner, p.key.Server, p.browser),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			return done(s.SaveConnectState(ctx, storage.ConnectState{
				Hash: hash(name), ConnectionKey: p.key, Browser: hash(p.browser), Provider: "https://id.example.com", Secret: []byte("sealed"), ExpiresAt: k.At(p.expires),
			}))
		},
		Apply: func(s *state, got *Answer) error {
			s.pending[name] = p
			return got.isDone()
		},
	}
}

func claimConnectState(w *World) *Operation {
	name, browser, now := pick(w, w.pending), w.cookie(), w.Now
	return &Operation{
		Verb: "ClaimConnectState", Args: name + " in " + browser,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			_, v, err := s.ClaimConnectState(ctx, hash(name), hash(browser), k.At(now))
			return verdict(v, nil, err)
		},
		Apply: func(s *state, got *Answer) error {
			p, known := s.pending[name]
			switch {
			case !known || !there(p.expires, now):
				return got.wants(storage.Unknown)
			case p.browser != browser:
				return got.wants(storage.WrongBrowser)
			}
			delete(s.pending, name)
			return got.wants(storage.OK)
		},
	}
}

// provider is where we are registered, for one server or another.
func (w *World) provider() (provider, server string) {
	return "https://id.example.com", among(w, "wiki", "mail")
}

func (w *World) readUpstreamClient() *Operation {
	provider, server := w.provider()
	now := w.Now
	return &Operation{
		Verb: "UpstreamClient", Args: server, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			c, err := s.UpstreamClient(ctx, issuer, provider, server, k.At(now))
			return found(c, err)
		},
		Saw: func(got Answer) {
			if c, is := got.value.(storage.UpstreamClient); is && got.err == nil {
				w.upstream[server] = string(c.Secret)
			} else if !got.Failed() {
				delete(w.upstream, server)
			}
		},
		Apply: func(s *state, got *Answer) error {
			c, known := s.upstream[server]
			if err := got.isThere(known); err != nil || got == nil || !known {
				return err
			}
			return equal("secret", string(got.value.(storage.UpstreamClient).Secret), c.secret)
		},
	}
}

func (w *World) listUpstreamClients() *Operation {
	now := w.Now
	return &Operation{
		Verb: "UpstreamClients", Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			all, err := s.UpstreamClients(ctx, issuer, k.At(now))
			return found(names(all, func(c storage.UpstreamClient) string { return c.Server }), err)
		},
		Apply: func(s *state, got *Answer) error {
			return got.lists(sorted(s.upstream, func(upstreamClient) bool { return true }))
		},
	}
}

func (w *World) putUpstreamClient() *Operation {
	provider, server := w.provider()
	now, next := w.Now, w.fresh("secret-")
	replaces := w.upstream[server]
	return &Operation{
		Verb: "PutUpstreamClient", Args: fmt.Sprintf("%s, %s, replaces %q", server, next, replaces),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			var before []byte
			if replaces != "" {
				before = []byte(replaces)
			}
			v, err := s.PutUpstreamClient(ctx, storage.UpstreamClient{
				Issuer: issuer, Provider: provider, Server: server, Secret: []byte(next), CreatedAt: k.At(now),
			}, before, k.At(now))
			return verdict(v, nil, err)
		},
		Saw: func(got Answer) {
			if got.err == nil && got.verdict == storage.OK {
				w.upstream[server] = next
			}
		},
		Apply: func(s *state, got *Answer) error {
			if s.upstream[server].secret != replaces {
				return got.wants(storage.Changed)
			}
			s.upstream[server] = upstreamClient{next}
			return got.wants(storage.OK)
		},
	}
}

func (w *World) deleteUpstreamClient() *Operation {
	provider, server := w.provider()
	secret := cmp.Or(w.upstream[server], "another")
	return &Operation{
		Verb: "DeleteUpstreamClient", Args: server + ", " + secret,
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			return done(s.DeleteUpstreamClient(ctx, storage.UpstreamClient{Issuer: issuer, Provider: provider, Server: server, Secret: []byte(secret)}))
		},
		Apply: func(s *state, got *Answer) error {
			if s.upstream[server].secret == secret {
				delete(s.upstream, server)
			}
			return got.isDone()
		},
	}
}

// anew is what begins a secret that was sealed anew.
const anew = "anew "

// replaceSealed seals all secrets anew that were not yet.
func (w *World) replaceSealed() *Operation {
	now := w.Now
	return &Operation{
		Verb: "ReplaceSealed", Alone: true,
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			for after := ""; ; {
				next, err := s.ReplaceSealed(ctx, after, 5, func(v storage.SealedValue) []byte {
					if strings.HasPrefix(string(v.Sealed), anew) {
						return nil
					}
					return append([]byte(anew), v.Sealed...)
				})
				if err != nil || next == "" || next == after {
					return done(err)
				}
				after = next
			}
		},
		Apply: func(s *state, got *Answer) error {
			seal := func(secret string) string {
				if secret == "" || strings.HasPrefix(secret, anew) {
					return secret
				}
				return anew + secret
			}
			for k, c := range s.connections {
				if _, live := s.liveConnection(k, now); live {
					c.secret = seal(c.secret)
					s.connections[k] = c
				}
			}
			for server, c := range s.upstream {
				s.upstream[server] = upstreamClient{seal(c.secret)}
			}
			for subject, p := range s.persons {
				if len(p.Secret) > 0 {
					p.Secret = []byte(seal(string(p.Secret)))
					s.persons[subject] = p
				}
			}
			return got.isDone()
		},
	}
}
