package sharedtest

import (
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

func rate(perMinute int, key string, args ...any) storage.Rate {
	return storage.Rate{Key: suite.Hash(key, args...), PerMinute: perMinute}
}

// takes counts one event, and checks whether it is let through.
func (f *fixture) takes(s storage.Store, want bool, rates ...storage.Rate) {
	f.Helper()
	taken, err := s.(storage.RateStore).TakeRates(suite.Ctx(), rates)
	f.Must(err)
	f.Equal(taken, want)
}

var rateTests = map[string]func(*fixture){
	"as many as there are per minute at once, whoever takes them": func(f *fixture) {
		for n := range 3 {
			f.takes([]storage.Store{f.Store, f.Other}[n%2], true, rate(3, "a"))
		}
		f.takes(f.Store, false, rate(3, "a"))
		f.takes(f.Other, false, rate(3, "a"))
		f.takes(f.Other, true, rate(3, "b"))
	},
	"all of several, or none": func(f *fixture) {
		f.takes(f.Store, true, rate(2, "a"), rate(3, "all"))
		f.takes(f.Store, true, rate(2, "a"), rate(3, "all"))
		for range 10 { // these use up nothing
			f.takes(f.Other, false, rate(2, "a"), rate(3, "all"))
			f.takes(f.Other, false, rate(3, "all"), rate(2, "a"))
		}
		f.takes(f.Store, true, rate(3, "all"), rate(2, "b"))
		f.takes(f.Store, false, rate(3, "all"), rate(2, "b"))
		f.takes(f.Store, true, rate(2, "b"))
		f.takes(f.Store, false, rate(2, "b"))
	},
	"what time brings back, and no more": func(f *fixture) {
		const perMinute = 120
		began, taken := time.Now(), 0
		for taken <= perMinute { // until there is one that time brought back
			got, err := f.Store.(storage.RateStore).TakeRates(suite.Ctx(), []storage.Rate{rate(perMinute, "a")})
			f.Must(err)
			if got {
				taken++
			}
			passed := time.Since(began)
			if most := perMinute + int(passed*perMinute/time.Minute); taken > most {
				f.Fatalf("%d in %v, want at most %d", taken, passed, most)
			}
			if passed > time.Minute {
				f.Fatalf("%d in a minute, want %d at once and as many in a minute", taken, perMinute)
			}
		}
	},
	"many at once, at all processes": func(f *fixture) {
		const addresses, each, all = 8, 3, 11
		rates := func(n int) []storage.Rate {
			return []storage.Rate{rate(each, "address %d", n%addresses), rate(all, "all")}
		}
		var taken atomic.Int64
		take := func(n int, rates []storage.Rate) {
			got, err := []storage.Store{f.Store, f.Other}[n%2].(storage.RateStore).TakeRates(suite.Ctx(), rates)
			if err != nil {
				f.Error(err)
			}
			if got {
				taken.Add(1)
			}
		}
		f.Together(func(n int) { take(n, rates(n)) })
		if n := taken.Load(); n != all {
			f.Fatalf("%d were let through, want %d", n, all)
		}
		for range each { // who was refused used up nothing
			f.Together(func(n int) { take(n, rates(n)[:1]) })
		}
		if n := taken.Load(); n != addresses*each {
			f.Fatalf("%d were let through, want %d", n, addresses*each)
		}
	},
	"the order of rates holds nobody up": func(f *fixture) {
		f.Together(func(n int) {
			var rates []storage.Rate
			for i := range 4 {
				rates = append(rates, rate(1000, "%d", (n+i)%4))
			}
			if got, err := []storage.Store{f.Store, f.Other}[n%2].(storage.RateStore).TakeRates(suite.Ctx(), rates); err != nil || !got {
				f.Errorf("%d: %t, %v", n, got, err)
			}
		})
	},
}
