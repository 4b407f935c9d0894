package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var connectionRaceTests = map[string]func(*fixture){
	"one holder of a lease K10": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		for range rounds {
			won := f.race(func(n int) storage.Verdict {
				_, v, err := f.store.LeaseConnection(ctx(), c.ConnectionKey, c.Revision, fmt.Sprint(n), f.now.Add(1), f.now)
				return f.raced(v, err, storage.OK, storage.LeaseHeld)
			})
			leased, err := f.store.Connection(ctx(), c.ConnectionKey, f.now)
			f.must(err)
			f.equal(leased.Lease, fmt.Sprint(won))
			f.equal(leased.Revision, c.Revision+1)
			c = f.put(leased)
		}
	},
	"one puts a connection in doubt K11": func(f *fixture) {
		for round := range rounds {
			c := f.lease(f.put(f.connection(fmt.Sprint(round), "notion")), "lost", storage.OK)
			later := f.now.Add(time.Minute)
			f.race(func(int) storage.Verdict {
				_, v, err := f.store.LeaseConnection(ctx(), c.ConnectionKey, c.Revision, "next", later.Add(1), later)
				if v == storage.LeaseExpired {
					v = storage.OK
				}
				return f.raced(v, err, storage.OK, storage.Changed)
			})
		}
	},
	"one claims a trip": func(f *fixture) {
		for round := range rounds {
			trip := f.leave(fmt.Sprint(round), "alice", "notion")
			f.race(func(int) storage.Verdict {
				_, v, err := f.store.ClaimConnectState(ctx(), trip.Hash, trip.Browser, f.now)
				return f.raced(v, err, storage.OK, storage.Unknown)
			})
		}
	},
	"one change to a revision": func(f *fixture) {
		c := f.connection("alice", "notion")
		for range rounds {
			won := f.race(func(n int) storage.Verdict {
				mine := c
				mine.Secret = fmt.Append(nil, "secret ", n)
				_, v, err := f.store.PutConnection(ctx(), mine, f.now)
				return f.raced(v, err, storage.OK, storage.Changed)
			})
			c.Secret = fmt.Append(nil, "secret ", won)
			c.Revision++
			f.stands(c)
		}
	},
	"one of those that take a place queues its revocation": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		for round := range rounds {
			name := func(n int) string { return fmt.Sprint(round, " ", n) }
			won := f.race(func(n int) storage.Verdict {
				_, v, err := f.store.PutConnection(ctx(), f.revoking(c, name(n)), f.now)
				return f.raced(v, err, storage.OK, storage.Changed)
			})
			c.Revision++
			f.equal(f.due(racers), []string{name(won)})
		}
	},
	"what a flow connected is adopted or revoked, and never both": func(f *fixture) {
		for round := range rounds {
			id := fmt.Sprint(round)
			longest := f.flow(id)
			longest.ExpiresAt = f.now.Add(time.Hour)
			_, err := f.store.SaveFlow(ctx(), longest, f.now)
			f.must(err)
			c := f.put(f.abandoned(id, "notion "+id))
			sub := f.submission(id, "a")
			sub.Adopt = []storage.Connection{f.adopted(c)}
			later := f.now.Add(15 * time.Minute)
			var verdict storage.Verdict
			f.together(func(n int) {
				var err error
				switch n {
				case 0:
					verdict, err = f.store.SubmitFlow(ctx(), sub)
				case 1, 2, 3:
					_, err = f.store.Sweep(ctx(), later)
				}
				if err != nil {
					f.Error(err)
				}
			})
			want := f.adopted(c)
			want.OnExpiry, want.Revision = nil, 1
			switch verdict {
			case storage.OK:
				f.stands(want)
				f.equal(f.due(racers), []string(nil))
			case storage.Changed:
				f.noConnection(want)
				f.equal(f.due(racers), []string{"abandoned " + id})
			default:
				f.Fatalf("verdict %v", verdict)
			}
		}
	},
	"one submit adopts": func(f *fixture) {
		for round := range rounds {
			id := fmt.Sprint(round)
			c := f.connects(id, "notion "+id)
			adopted := func(n int) storage.Connection {
				mine := f.adopted(c)
				mine.Secret = fmt.Append(nil, "secret ", n)
				return mine
			}
			won := f.race(func(n int) storage.Verdict {
				sub := f.submission(id, "a")
				racer := fmt.Sprint(id, " ", n)
				sub.Grant.ID, sub.Code.GrantID, sub.Code.Hash = "g-"+racer, "g-"+racer, hash("code %s", racer)
				sub.Adopt = []storage.Connection{adopted(n)}
				v, err := f.store.SubmitFlow(ctx(), sub)
				return f.raced(v, err, storage.OK, storage.Submitted)
			})
			f.equal(f.servers(issuer, storage.FlowOwner(id)), []string(nil))
			want := adopted(won)
			want.Revision = 1
			f.stands(want)
		}
	},
	"one takes a revocation that is due": func(f *fixture) {
		for round := range rounds {
			id := fmt.Sprint(round)
			f.queue(f.revocation(id))
			f.race(func(int) storage.Verdict {
				due, err := f.store.DueRevocations(ctx(), issuer, 10, f.now, f.now.Add(time.Minute))
				if len(due) == 1 && due[0].ID == id {
					return f.raced(storage.OK, err, storage.OK)
				}
				if len(due) > 0 {
					f.Errorf("round %d: handed out %+v", round, due)
				}
				return f.raced(storage.Unknown, err, storage.Unknown)
			})
		}
	},
	"nothing brings back what was ended K20": func(f *fixture) {
		for round := range rounds {
			owner := fmt.Sprint(round)
			c := f.lease(f.put(f.connection(owner, "notion")), "refreshing", storage.OK)
			trips := make([]storage.ConnectState, racers)
			for n := range 4 {
				trips[n] = f.leave(fmt.Sprint(owner, " ", n), owner, "notion")
			}
			f.together(func(n int) {
				switch {
				case n == racers/2:
					had, err := f.end(c, nil)
					if err != nil || !had {
						f.Errorf("ended one: %t, %v", had, err)
					}
				case n < 4: // the provider's answer; then the same as those below
					_, v, err := f.store.ClaimConnectState(ctx(), trips[n].Hash, trips[n].Browser, f.now)
					if f.raced(v, err, storage.OK, storage.Unknown) != storage.OK {
						return
					}
					fallthrough
				default: // the answer of a refresh
					_, v, err := f.store.PutConnection(ctx(), c, f.now)
					f.raced(v, err, storage.OK, storage.Changed)
				}
			})
			f.noConnection(c)
			for n := range 4 {
				f.comeBack(fmt.Sprint(owner, " ", n), storage.Unknown)
			}
		}
	},
	"what was refreshed last is what gets revoked K20": func(f *fixture) {
		for round := range rounds {
			c := f.put(f.connection(fmt.Sprint(round), "notion"))
			newest := make([]storage.Connection, racers) // that each stored
			f.together(func(n int) {
				if n == racers/2 {
					had, err := f.end(c, func(c storage.Connection) *storage.ProviderRevocation {
						r := f.revocation(fmt.Sprint(round))
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
					stored, v, err := f.store.PutConnection(ctx(), mine, f.now)
					if f.raced(v, err, storage.OK, storage.Changed) == storage.OK {
						newest[n] = stored
					}
					if mine = stored; mine.ID == "" {
						return // it is gone
					}
				}
			})
			last := slices.MaxFunc(append(newest, c), func(a, b storage.Connection) int { return cmp.Compare(a.Revision, b.Revision) })
			due, err := f.store.DueRevocations(ctx(), issuer, 10, f.now, f.now.Add(time.Minute))
			f.must(err)
			if len(due) != 1 || string(due[0].Secret) != string(last.Secret) {
				f.Fatalf("round %d: to be revoked %+v, stored last %q", round, due, last.Secret)
			}
			f.must(f.store.EndRevocation(ctx(), due[0].ID))
		}
	},
	"a connection that ends while its flow is submitted belongs to somebody or to nobody": func(f *fixture) {
		for round := range rounds {
			id := fmt.Sprint(round)
			c := f.connects(id, "notion "+id)
			sub := f.submission(id, "a")
			sub.Adopt = []storage.Connection{f.adopted(c)}
			var verdict storage.Verdict
			var ended bool
			f.together(func(n int) {
				var err error
				switch n {
				case 0:
					verdict, err = f.store.SubmitFlow(ctx(), sub)
				case 1:
					ended, err = f.end(c, nil)
				}
				if err != nil {
					f.Error(err)
				}
			})
			f.equal(f.servers(issuer, c.Owner), []string(nil))
			switch {
			case verdict == storage.OK && !ended:
				want := f.adopted(c)
				want.Revision = 1
				f.stands(want)
			case verdict == storage.Changed && ended:
				f.noConnection(f.adopted(c))
			default:
				f.Fatalf("verdict %v, ended %t", verdict, ended)
			}
		}
	},
}

// together lets all racers go at once and waits for them.
func (f *fixture) together(run func(n int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for n := range racers {
		wg.Go(func() {
			<-start
			run(n)
		})
	}
	close(start)
	wg.Wait()
}
