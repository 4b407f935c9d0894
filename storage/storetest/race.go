package storetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	racers = 32
	rounds = 200
)

var raceTests = map[string]func(*fixture){
	"one submit wins": func(f *fixture) {
		for round := range rounds {
			id := fmt.Sprint(round)
			_, err := f.store.SaveFlow(ctx(), f.flow(id), f.now)
			f.must(err)
			won := f.race(func(n int) storage.Verdict {
				sub := f.submission(id, "a")
				racer := fmt.Sprint(id, " ", n)
				sub.Grant.ID, sub.Code.GrantID = "g-"+racer, "g-"+racer
				sub.Code.Hash = hash("code %s", racer)
				v, err := f.store.SubmitFlow(ctx(), sub)
				return f.raced(v, err, storage.OK, storage.Submitted)
			})
			for n := range racers {
				_, err := f.store.Grant(ctx(), fmt.Sprint("g-", id, " ", n), f.now)
				if stored := err == nil; stored != (n == won) {
					f.Fatalf("round %d: racer %d stored a grant: %t; racer %d won", round, n, stored, won)
				}
			}
		}
	},
	"one claim wins, and the replays revoke B09": func(f *fixture) {
		for round := range rounds {
			id := fmt.Sprint(round)
			f.approve(id, "a")
			f.race(func(n int) storage.Verdict {
				claim := f.claim(id, "a")
				claim.Issue = f.issue(id, "a", n)
				res, err := f.store.ClaimCode(ctx(), claim)
				return f.raced(res.Verdict, err, storage.OK, storage.Replayed)
			})
			f.revoked(id)
			for n := range racers {
				f.accessLives(id, n, false)
			}
		}
	},
	"one rotation wins, and the others repeat it D02": func(f *fixture) {
		for round := range rounds {
			id := fmt.Sprint(round)
			f.signIn(id, "a")
			replays := make([]string, racers)
			won := f.race(func(n int) storage.Verdict {
				r := f.rotation(id, "a", 1)
				r.Issue = f.issue(id, "a", n+1)
				r.Replay = fmt.Append(nil, "response ", n)
				res, err := f.store.RotateRefreshToken(ctx(), r)
				replays[n] = string(res.Replay)
				return f.raced(res.Verdict, err, storage.OK, storage.Repeated)
			})
			for n := range racers {
				if n != won && replays[n] != fmt.Sprint("response ", won) {
					f.Fatalf("round %d: racer %d got %q; racer %d won", round, n, replays[n], won)
				}
				f.accessLives(id, n+1, n == won)
			}
			f.accessLives(id, 0, true)
		}
	},
	"one rotation wins in strict mode, and the others revoke D05": func(f *fixture) {
		for round := range rounds {
			id := fmt.Sprint(round)
			f.signIn(id, "a")
			f.race(func(n int) storage.Verdict {
				r := f.rotation(id, "a", 1)
				r.Issue = f.issue(id, "a", n+1)
				r.Grace = 0
				res, err := f.store.RotateRefreshToken(ctx(), r)
				return f.raced(res.Verdict, err, storage.OK, storage.Replayed, storage.Revoked)
			})
			f.revoked(id)
			for n := range racers + 1 {
				f.accessLives(id, n, false)
			}
		}
	},
	"one use is the first C08": func(f *fixture) {
		for round := range rounds {
			f.race(func(int) storage.Verdict {
				first, err := f.store.UseOnce(ctx(), hash("jti %d", round), f.now.Add(time.Minute), f.now)
				if first {
					return f.raced(storage.OK, err, storage.OK)
				}
				return f.raced(storage.Repeated, err, storage.Repeated)
			})
		}
	},
}

// race lets all racers go at once and returns the one that got OK.
func (f *fixture) race(run func(n int) storage.Verdict) int {
	f.Helper()
	verdicts := make([]storage.Verdict, racers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for n := range racers {
		wg.Go(func() {
			<-start
			verdicts[n] = run(n)
		})
	}
	close(start)
	wg.Wait()
	winner, winners := -1, 0
	for n, v := range verdicts {
		if v == storage.OK {
			winner = n
			winners++
		}
	}
	if winners != 1 {
		f.Fatalf("%d winners", winners)
	}
	return winner
}

// raced reports a verdict that no racer may get.
func (f *fixture) raced(v storage.Verdict, err error, allowed ...storage.Verdict) storage.Verdict {
	if err != nil {
		f.Errorf("racer failed: %v", err)
		return storage.Unknown
	}
	for _, a := range allowed {
		if v == a {
			return v
		}
	}
	f.Errorf("racer got verdict %v", v)
	return storage.Unknown
}
