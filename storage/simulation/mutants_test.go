//go:build !race

package simulation_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/simulation"
)

// mutants are faults that others' stores had, or could have.
var mutants = map[string]func() *mutant{
	"a replayed code revokes nothing": func() *mutant {
		return &mutant{claim: func(s storage.Store, ctx context.Context, c storage.CodeClaim) (storage.CodeResult, error) {
			if code, err := s.Code(ctx, c.Hash, c.Now); err == nil && code.Claimed && code.ClientID == c.ClientID && code.Challenge == c.Challenge {
				return storage.CodeResult{Verdict: storage.Replayed}, nil
			}
			return s.ClaimCode(ctx, c)
		}}
	},
	"a wrong proof leaves the code good": func() *mutant {
		return &mutant{claim: func(s storage.Store, ctx context.Context, c storage.CodeClaim) (storage.CodeResult, error) {
			code, err := s.Code(ctx, c.Hash, c.Now)
			if err == nil && !code.Claimed && code.ClientID == c.ClientID && code.Challenge != c.Challenge && code.ExpiresAt.After(c.Now) {
				return storage.CodeResult{Verdict: storage.ProofFailed}, nil
			}
			return s.ClaimCode(ctx, c)
		}}
	},
	"the grace is a millisecond too long": func() *mutant {
		return &mutant{rotate: func(s storage.Store, ctx context.Context, r storage.Rotation) (storage.RotationResult, error) {
			if r.Grace > 0 {
				r.Grace += time.Millisecond
			}
			return s.RotateRefreshToken(ctx, r)
		}}
	},
	"a lost commit is done a second time": func() *mutant {
		return &mutant{rotate: func(s storage.Store, ctx context.Context, r storage.Rotation) (storage.RotationResult, error) {
			if r.Hash[0]%4 == 0 {
				if res, err := s.RotateRefreshToken(ctx, r); err != nil || res.Verdict != storage.OK {
					return res, err
				}
			}
			return s.RotateRefreshToken(ctx, r)
		}}
	},
	"an assertion of a program is good again": func() *mutant {
		return &mutant{issue: func(s storage.Store, ctx context.Context, g storage.ServiceGrant) (storage.Verdict, error) {
			v, err := s.IssueGrant(ctx, g)
			if v == storage.AlreadyUsed {
				g.UsesUp = nil
				return s.IssueGrant(ctx, g)
			}
			return v, err
		}}
	},
	"an assertion of a program is not used up": func() *mutant {
		return &mutant{issue: func(s storage.Store, ctx context.Context, g storage.ServiceGrant) (storage.Verdict, error) {
			if g.UsesUp != nil {
				if used, err := s.Used(ctx, g.UsesUp.Hash, g.Now); err == nil && !used {
					g.UsesUp = nil
				}
			}
			return s.IssueGrant(ctx, g)
		}}
	},
	"a program keeps one grant too many": func() *mutant {
		return &mutant{issue: func(s storage.Store, ctx context.Context, g storage.ServiceGrant) (storage.Verdict, error) {
			g.Max++
			return s.IssueGrant(ctx, g)
		}}
	},
	"an access token is good until it is forgotten": func() *mutant {
		var mu sync.Mutex
		seen := map[storage.Hash]storage.AccessToken{}
		return &mutant{access: func(s storage.Store, ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
			mu.Lock()
			defer mu.Unlock()
			if t, known := seen[h]; known && t.ExpiresAt.After(now) {
				return t, nil
			}
			t, err := s.AccessToken(ctx, h, now)
			if err == nil {
				seen[h] = t
			}
			return t, err
		}}
	},
	"a flow is submitted whatever it connected": func() *mutant {
		return &mutant{submit: func(s storage.Store, ctx context.Context, sub storage.Submission) (storage.Verdict, error) {
			v, err := s.SubmitFlow(ctx, sub)
			if v == storage.Changed && len(sub.Adopt) > 0 {
				sub.Adopt = nil
				return s.SubmitFlow(ctx, sub)
			}
			return v, err
		}}
	},
	"one registration too many": func() *mutant {
		return &mutant{register: func(s storage.Store, ctx context.Context, c storage.Client, u storage.Unused) error {
			u.Max++
			return s.CreateClient(ctx, c, u)
		}}
	},
	"a revocation does not say which access tokens": func() *mutant {
		return &mutant{revoke: func(s storage.Store, ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
			rev, err := s.RevokeGrant(ctx, id, now)
			rev.AccessTokens = nil
			return rev, err
		}}
	},
	"two hold a lease": func() *mutant {
		return &mutant{lease: func(s storage.Store, ctx context.Context, of storage.Connection, holder string, until, now time.Time) (storage.Connection, storage.Verdict, error) {
			c, v, err := s.LeaseConnection(ctx, of, holder, until, now)
			if v == storage.LeaseHeld && holder[len(holder)-1]%4 == 0 {
				return c, storage.OK, err
			}
			return c, v, err
		}}
	},
	"a lease that ran out leaves no doubt": func() *mutant {
		return &mutant{lease: func(s storage.Store, ctx context.Context, of storage.Connection, holder string, until, now time.Time) (storage.Connection, storage.Verdict, error) {
			c, v, err := s.LeaseConnection(ctx, of, holder, until, now)
			if v == storage.LeaseExpired {
				return s.LeaseConnection(ctx, c, holder, until, now)
			}
			return c, v, err
		}}
	},
	"the last writer wins": func() *mutant {
		return &mutant{put: func(s storage.Store, ctx context.Context, c storage.Connection, now time.Time) (storage.Connection, storage.Verdict, error) {
			stored, v, err := s.PutConnection(ctx, c, now)
			if v == storage.Changed && stored.ID == c.ID {
				c.Revision = stored.Revision
				return s.PutConnection(ctx, c, now)
			}
			return stored, v, err
		}}
	},
	"a late answer undoes a disconnect": func() *mutant {
		return &mutant{replace: func(s storage.Store, ctx context.Context, c storage.ConnectionReplacement, now time.Time) (storage.Connection, storage.Verdict, error) {
			c.LastDisconnect = nil
			return s.ReplaceConnection(ctx, c, now)
		}}
	},
	"what a connection uses up is good again": func() *mutant {
		return &mutant{replace: func(s storage.Store, ctx context.Context, c storage.ConnectionReplacement, now time.Time) (storage.Connection, storage.Verdict, error) {
			if c.UsesUp != nil {
				if used, err := s.Used(ctx, c.UsesUp.Hash, now); err == nil && !used {
					c.UsesUp = nil
				}
			}
			return s.ReplaceConnection(ctx, c, now)
		}}
	},
	"a disconnect does not revoke": func() *mutant {
		return &mutant{disconnect: func(s storage.Store, ctx context.Context, c storage.Connection, _ *storage.ProviderRevocation, now time.Time) (storage.Connection, storage.Verdict, error) {
			return s.Disconnect(ctx, c, nil, now)
		}}
	},
	"a revocation is handed out twice": func() *mutant {
		return &mutant{due: func(s storage.Store, ctx context.Context, issuer string, limit int, now, _ time.Time) ([]storage.ProviderRevocation, error) {
			return s.DueRevocations(ctx, issuer, limit, now, now.Add(time.Second))
		}}
	},
	"more revocations are handed out than are asked for": func() *mutant {
		return &mutant{due: func(s storage.Store, ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.ProviderRevocation, error) {
			return s.DueRevocations(ctx, issuer, limit+1, now, retryAt)
		}}
	},
	"fewer revocations are handed out than are due": func() *mutant {
		return &mutant{due: func(s storage.Store, ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.ProviderRevocation, error) {
			return s.DueRevocations(ctx, issuer, max(1, limit-1), now, retryAt)
		}}
	},
	"an acknowledged write is lost": func() *mutant {
		return &mutant{siteValue: func(s storage.Store, ctx context.Context, v storage.SiteValue) error {
			if v.Text[len(v.Text)-1] == '7' {
				return nil
			}
			return s.PutSiteValue(ctx, v)
		}}
	},
	"a key is changed by whoever saw an older one": func() *mutant {
		return &mutant{key: func(s storage.Store, ctx context.Context, k storage.VirtualKey) (storage.VirtualKey, storage.Verdict, error) {
			stored, v, err := s.PutVirtualKey(ctx, k)
			if v == storage.Changed && k.Revision != 0 {
				k.Revision = stored.Revision
				return s.PutVirtualKey(ctx, k)
			}
			return stored, v, err
		}}
	},
	"a person is ended whoever they are by now": func() *mutant {
		return &mutant{endPerson: func(s storage.Store, ctx context.Context, e storage.PersonEnd) (storage.Revocation, storage.Verdict, error) {
			e.Revision = 0
			return s.EndPerson(ctx, e)
		}}
	},
	"a person is kept whose flow was submitted": func() *mutant {
		return &mutant{login: func(s storage.Store, ctx context.Context, l storage.PersonLogin, now time.Time) (storage.Person, storage.Verdict, error) {
			p, v, err := s.SavePerson(ctx, l, now)
			if v == storage.Submitted {
				l.Flow = nil
				if _, _, err := s.SavePerson(ctx, l, now); err != nil {
					return p, v, err
				}
			}
			return p, v, err
		}}
	},
	"what begins with a login does not": func() *mutant {
		return &mutant{login: func(s storage.Store, ctx context.Context, l storage.PersonLogin, now time.Time) (storage.Person, storage.Verdict, error) {
			l.Browser = nil
			return s.SavePerson(ctx, l, now)
		}}
	},
	"the sweep comes a minute early": func() *mutant {
		return &mutant{sweep: func(s storage.Store, ctx context.Context, now time.Time) (int, error) {
			return s.Sweep(ctx, now.Add(time.Minute))
		}}
	},
}

// Each fault is found, so that schedules that find none mean something.
func TestMutantsAreFound(t *testing.T) {
	for name, make := range mutants {
		t.Run(name, func(t *testing.T) {
			found(t, func() (simulation.System, error) {
				return simulation.System{Open: func(simulation.Instance) (storage.Store, error) {
					m := make()
					m.Store = memstore.New()
					return m, nil
				}}, nil
			})
		})
	}
}

// What a crash takes with it is missed.
func TestForgetfulStoreIsFound(t *testing.T) {
	found(t, func() (simulation.System, error) {
		return simulation.System{Durable: true, Open: func(simulation.Instance) (storage.Store, error) { return memstore.New(), nil }}, nil
	})
}

// found runs schedules until one fails.
func found(t *testing.T, open func() (simulation.System, error)) {
	t.Helper()
	const most = 1000
	for seed := range uint64(most) {
		_, err := simulation.One(seed+1, simulation.Options{}, open)
		var failure *simulation.Failure
		if errors.As(err, &failure) {
			t.Logf("seed %d: %v", failure.Seed, failure.Cause)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Errorf("not found in %d schedules", most)
}
