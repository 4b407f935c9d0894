package authtest

import (
	"fmt"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var raceTests = map[string]func(*fixture){
	"no token that is issued while its grant changes has what was chosen before": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			f.SignIn(id, "a")
			f.Together(func(n int) {
				var err error
				if n == 0 {
					_, err = f.Store.RotateRefreshToken(suite.Ctx(), f.Rotation(id, "a", 1))
				} else {
					_, err = f.Store.ChangeGrant(suite.Ctx(), f.Change(id, fmt.Sprint("tool ", n)))
				}
				if err != nil {
					f.Error(err)
				}
			})
			g, err := f.Store.Grant(suite.Ctx(), "g-"+id, f.Now)
			f.Must(err)
			f.chosen(id, g.Chosen, 0, 1)
			f.Equal(len(g.Chosen), 1)
		}
	},
	"one submit wins": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow(id), f.Now)
			f.Must(err)
			won := f.Race(func(n int) storage.Verdict {
				sub := f.Submission(id, "a")
				racer := fmt.Sprint(id, " ", n)
				sub.Grant.ID, sub.Code.GrantID = "g-"+racer, "g-"+racer
				sub.Code.Hash = suite.Hash("code %s", racer)
				v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
				return f.Raced(v, err, storage.OK, storage.Submitted)
			})
			for n := range suite.Racers {
				_, err := f.Store.Grant(suite.Ctx(), fmt.Sprint("g-", id, " ", n), f.Now)
				if stored := err == nil; stored != (n == won) {
					f.Fatalf("round %d: racer %d stored a grant: %t; racer %d won", round, n, stored, won)
				}
			}
		}
	},
	"a submission finds the flow while somebody else says who they are": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint("contested ", round)
			_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow(id), f.Now)
			f.Must(err)
			var saving sync.WaitGroup
			for n := range 4 {
				saving.Go(func() {
					flow := f.Flow(id)
					flow.Identity = []storage.Identity{suite.Bob, suite.AliceAnew}[n%2]
					_, _ = f.Store.SaveFlow(suite.Ctx(), flow, f.Now)
				})
			}
			v, err := f.Store.SubmitFlow(suite.Ctx(), f.Submission(id, "a"))
			saving.Wait()
			if err != nil || v != storage.OK && v != storage.Changed {
				f.Fatalf("round %d: verdict %v, %v", round, v, err)
			}
		}
	},
	"one claim wins, and the replays revoke B09": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			f.Approve(id, "a")
			f.Race(func(n int) storage.Verdict {
				claim := f.Claim(id, "a")
				claim.Issue = f.Issue(id, "a", n)
				res, err := f.Store.ClaimCode(suite.Ctx(), claim)
				return f.Raced(res.Verdict, err, storage.OK, storage.Replayed)
			})
			f.Revoked(id)
			for n := range suite.Racers {
				f.AccessLives(id, n, false)
			}
		}
	},
	"one rotation wins, and the others repeat it D02": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			f.SignIn(id, "a")
			replays := make([]string, suite.Racers)
			won := f.Race(func(n int) storage.Verdict {
				r := f.Rotation(id, "a", 1)
				r.Issue = f.Issue(id, "a", n+1)
				r.Replay = fmt.Append(nil, "response ", n)
				res, err := f.Store.RotateRefreshToken(suite.Ctx(), r)
				replays[n] = string(res.Replay)
				return f.Raced(res.Verdict, err, storage.OK, storage.Repeated)
			})
			for n := range suite.Racers {
				if n != won && replays[n] != fmt.Sprint("response ", won) {
					f.Fatalf("round %d: racer %d got %q; racer %d won", round, n, replays[n], won)
				}
				f.AccessLives(id, n+1, n == won)
			}
			f.AccessLives(id, 0, true)
		}
	},
	"one rotation wins in strict mode, and the others revoke D05": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			f.SignIn(id, "a")
			f.Race(func(n int) storage.Verdict {
				r := f.Rotation(id, "a", 1)
				r.Issue = f.Issue(id, "a", n+1)
				r.Grace = 0
				res, err := f.Store.RotateRefreshToken(suite.Ctx(), r)
				return f.Raced(res.Verdict, err, storage.OK, storage.Replayed, storage.Revoked)
			})
			f.Revoked(id)
			for n := range suite.Racers + 1 {
				f.AccessLives(id, n, false)
			}
		}
	},
	"one replacement of a site value wins": func(f *fixture) {
		former := ""
		for round := range suite.Rounds {
			text := func(n int) string { return fmt.Sprint("round ", round, " racer ", n) }
			won := f.Race(func(n int) storage.Verdict {
				v := f.SiteValue("a")
				v.Text = text(n)
				verdict, err := f.Store.ReplaceSiteValue(suite.Ctx(), v, former, f.Now)
				return f.Raced(verdict, err, storage.OK, storage.Changed)
			})
			former = text(won)
			got, err := f.Store.SiteValue(suite.Ctx(), suite.Issuer, "a", f.Now)
			f.Must(err)
			f.Equal(got.Text, former)
		}
	},
	"one of those that use the same value up wins C08": func(f *fixture) {
		var ids [suite.Racers]string // of their codes, which only the winner's is used up of
		f.SignIn("same value", "a")
		for round := range suite.Rounds {
			once := &storage.OneTime{Hash: suite.Hash("of a claim %d", round), ExpiresAt: f.Now.Add(time.Minute)}
			for n, id := range ids {
				if id == "" {
					ids[n] = fmt.Sprint("same value ", round, " ", n)
					f.Approve(ids[n], "a")
				}
			}
			won := f.Race(func(n int) storage.Verdict {
				claim := f.Claim(ids[n], "a")
				claim.UsesUp = once
				res, err := f.Store.ClaimCode(suite.Ctx(), claim)
				return f.Raced(res.Verdict, err, storage.OK, storage.AlreadyUsed)
			})
			ids[won] = ""
			r := f.Rotation("same value", "a", 1)
			r.UsesUp = once
			f.Rotate(r, storage.AlreadyUsed)
		}
	},
	"one use is the first C08": func(f *fixture) {
		for round := range suite.Rounds {
			f.Race(func(int) storage.Verdict {
				first, err := f.Store.UseOnce(suite.Ctx(), suite.Hash("jti %d", round), f.Now.Add(time.Minute), f.Now)
				if first {
					return f.Raced(storage.OK, err, storage.OK)
				}
				return f.Raced(storage.Repeated, err, storage.Repeated)
			})
		}
	},
}
