package connectiontest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var connectionRaceTests = map[string]func(*fixture){
	"one holder of a lease K10": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		for range suite.Rounds {
			won := f.Race(func(n int) storage.Verdict {
				_, v, err := f.Store.LeaseConnection(suite.Ctx(), c, fmt.Sprint(n), f.Now.Add(1), f.Now)
				return f.Raced(v, err, storage.OK, storage.LeaseHeld)
			})
			leased, err := f.Store.Connection(suite.Ctx(), c.ConnectionKey, f.Now)
			f.Must(err)
			f.Equal(leased.Lease, fmt.Sprint(won))
			f.Equal(leased.Revision, c.Revision+1)
			c = f.Put(leased)
		}
	},
	"one puts a connection in doubt K11": func(f *fixture) {
		for round := range suite.Rounds {
			c := f.Lease(f.Put(f.Connection(fmt.Sprint(round), "notion")), "lost", storage.OK)
			later := f.Now.Add(time.Minute)
			f.Race(func(int) storage.Verdict {
				_, v, err := f.Store.LeaseConnection(suite.Ctx(), c, "next", later.Add(1), later)
				if v == storage.LeaseExpired {
					v = storage.OK
				}
				return f.Raced(v, err, storage.OK, storage.Changed)
			})
		}
	},
	"one claims a state": func(f *fixture) {
		for round := range suite.Rounds {
			state := f.SaveConnectState(fmt.Sprint(round), "alice", "notion")
			f.Race(func(int) storage.Verdict {
				_, v, err := f.Store.ClaimConnectState(suite.Ctx(), state.Hash, state.Browser, f.Now)
				return f.Raced(v, err, storage.OK, storage.Unknown)
			})
		}
	},
	"one change to a revision": func(f *fixture) {
		c := f.Connection("alice", "notion")
		for range suite.Rounds {
			won := f.Race(func(n int) storage.Verdict {
				mine := c
				mine.Secret = fmt.Append(nil, "secret ", n)
				_, v, err := f.Store.PutConnection(suite.Ctx(), mine, f.Now)
				return f.Raced(v, err, storage.OK, storage.Changed)
			})
			c.Secret = fmt.Append(nil, "secret ", won)
			c.Revision++
			f.Stored(c)
		}
	},
	"one of those that take a place queues its revocation": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		for round := range suite.Rounds {
			name := func(n int) string { return fmt.Sprint(round, " ", n) }
			won := f.Race(func(n int) storage.Verdict {
				_, v, err := f.Store.ReplaceConnection(suite.Ctx(), f.Revoking(c, name(n)), f.Now)
				return f.Raced(v, err, storage.OK, storage.Changed)
			})
			c.Revision++
			f.Equal(f.Due(suite.Racers), []string{name(won)})
		}
	},
	"what a flow connected is adopted or revoked, and never both": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			longest := f.Flow(id)
			longest.ExpiresAt = f.Now.Add(time.Hour)
			_, err := f.Store.SaveFlow(suite.Ctx(), longest, f.Now)
			f.Must(err)
			c := f.Put(f.Abandoned(id, "notion "+id))
			sub := f.Submission(id, "a")
			sub.Adopt = suite.Replacing(f.Adopted(c))
			later := f.Now.Add(15 * time.Minute)
			var verdict storage.Verdict
			f.Together(func(n int) {
				var err error
				switch n {
				case 0:
					verdict, err = f.Store.SubmitFlow(suite.Ctx(), sub)
				case 1, 2, 3:
					_, err = f.Store.Sweep(suite.Ctx(), later)
				}
				if err != nil {
					f.Error(err)
				}
			})
			want := f.Adopted(c)
			want.OnExpiry, want.Revision = nil, 1
			switch verdict {
			case storage.OK:
				f.Stored(want)
				f.Equal(f.Due(suite.Racers), []string(nil))
			case storage.Changed:
				f.NoConnection(want)
				f.Equal(f.Due(suite.Racers), []string{"abandoned " + id})
			default:
				f.Fatalf("verdict %v", verdict)
			}
		}
	},
	"one submit adopts": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			c := f.Connects(id, "notion "+id)
			adopted := func(n int) storage.Connection {
				mine := f.Adopted(c)
				mine.Secret = fmt.Append(nil, "secret ", n)
				return mine
			}
			won := f.Race(func(n int) storage.Verdict {
				sub := f.Submission(id, "a")
				racer := fmt.Sprint(id, " ", n)
				sub.Grant.ID, sub.Code.GrantID, sub.Code.Hash = "g-"+racer, "g-"+racer, suite.Hash("code %s", racer)
				sub.Adopt = suite.Replacing(adopted(n))
				v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
				return f.Raced(v, err, storage.OK, storage.Submitted)
			})
			f.Equal(f.Servers(suite.Issuer, storage.FlowOwner(id)), []string(nil))
			want := adopted(won)
			want.Revision = 1
			f.Stored(want)
		}
	},
	"one takes a revocation that is due": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			f.Queue(f.Revocation(id))
			f.Race(func(int) storage.Verdict {
				due, err := f.Store.DueRevocations(suite.Ctx(), suite.Issuer, 10, f.Now, f.Now.Add(time.Minute))
				if len(due) == 1 && due[0].ID == id {
					return f.Raced(storage.OK, err, storage.OK)
				}
				if len(due) > 0 {
					f.Errorf("round %d: handed out %+v", round, due)
				}
				return f.Raced(storage.Unknown, err, storage.Unknown)
			})
		}
	},
	"nothing brings back what was ended K20": func(f *fixture) {
		for round := range suite.Rounds {
			owner := fmt.Sprint(round)
			c := f.Lease(f.Put(f.Connection(owner, "notion")), "refreshing", storage.OK)
			states := make([]storage.ConnectState, suite.Racers)
			for n := range 4 {
				states[n] = f.SaveConnectState(fmt.Sprint(owner, " ", n), owner, "notion")
			}
			f.Together(func(n int) {
				switch {
				case n == suite.Racers/2:
					had, err := f.End(c, nil)
					if err != nil || !had {
						f.Errorf("ended one: %t, %v", had, err)
					}
				case n < 4: // the provider's answer; then the same as those below
					_, v, err := f.Store.ClaimConnectState(suite.Ctx(), states[n].Hash, states[n].Browser, f.Now)
					if f.Raced(v, err, storage.OK, storage.Unknown) != storage.OK {
						return
					}
					fallthrough
				default: // the answer of a refresh
					_, v, err := f.Store.PutConnection(suite.Ctx(), c, f.Now)
					f.Raced(v, err, storage.OK, storage.Changed)
				}
			})
			f.NoConnection(c)
			for n := range 4 {
				f.ClaimConnectState(fmt.Sprint(owner, " ", n), storage.Unknown)
			}
		}
	},
	"what was refreshed last is what gets revoked K20": func(f *fixture) {
		for round := range suite.Rounds {
			c := f.Put(f.Connection(fmt.Sprint(round), "notion"))
			newest := make([]storage.Connection, suite.Racers) // that each stored
			f.Together(func(n int) {
				if n == suite.Racers/2 {
					had, err := f.End(c, func(c storage.Connection) *storage.ProviderRevocation {
						r := f.Revocation(fmt.Sprint(round))
						r.Secret = c.Secret
						return &r
					})
					if err != nil || !had {
						f.Errorf("ended one: %t, %v", had, err)
					}
					return
				}
				mine := c
				for range 3 {
					mine.Secret = fmt.Appendf(nil, "tokens %d of %d", mine.Revision, n)
					stored, v, err := f.Store.PutConnection(suite.Ctx(), mine, f.Now)
					if f.Raced(v, err, storage.OK, storage.Changed) == storage.OK {
						newest[n] = stored
					}
					if mine = stored; mine.ID == "" {
						return // it is gone
					}
				}
			})
			last := slices.MaxFunc(append(newest, c), func(a, b storage.Connection) int { return cmp.Compare(a.Revision, b.Revision) })
			due, err := f.Store.DueRevocations(suite.Ctx(), suite.Issuer, 10, f.Now, f.Now.Add(time.Minute))
			f.Must(err)
			if len(due) != 1 || string(due[0].Secret) != string(last.Secret) {
				f.Fatalf("round %d: to be revoked %+v, stored last %q", round, due, last.Secret)
			}
			f.Must(f.Store.EndRevocation(suite.Ctx(), due[0].ID))
		}
	},
	"a connection that ends while its flow is submitted belongs to somebody or to nobody": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			c := f.Connects(id, "notion "+id)
			sub := f.Submission(id, "a")
			sub.Adopt = suite.Replacing(f.Adopted(c))
			var verdict storage.Verdict
			var ended bool
			f.Together(func(n int) {
				var err error
				switch n {
				case 0:
					verdict, err = f.Store.SubmitFlow(suite.Ctx(), sub)
				case 1:
					ended, err = f.End(c, nil)
				}
				if err != nil {
					f.Error(err)
				}
			})
			f.Equal(f.Servers(suite.Issuer, c.Owner), []string(nil))
			switch {
			case verdict == storage.OK && !ended:
				want := f.Adopted(c)
				want.Revision = 1
				f.Stored(want)
			case verdict == storage.Changed && ended:
				f.NoConnection(f.Adopted(c))
			default:
				f.Fatalf("verdict %v, ended %t", verdict, ended)
			}
		}
	},
}
