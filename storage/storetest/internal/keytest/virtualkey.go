package keytest

import (
	"fmt"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var virtualKeyTests = map[string]func(*fixture){
	"is read as it was stored, until it is deleted": func(f *fixture) {
		k := f.VirtualKey("alice")
		k.Former, k.FormerUntil = new(suite.Hash("former")), f.Now.Add(time.Hour)
		k.Servers, k.Disabled, k.Withdrawn = []string{"wiki", "mail"}, true, 3
		k.RotatedAt, k.ExpiresAt = f.Now.Add(time.Minute), f.Now.Add(time.Hour)
		k = f.puts(k)
		f.has(suite.Issuer, k)
		f.After(1000 * 24 * time.Hour)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.has(suite.Issuer, k)
		f.deletes(k, storage.OK)
		f.has(suite.Issuer)
		f.deletes(k, storage.Unknown)
	},
	"changes only from its revision": func(f *fixture) {
		first := f.puts(f.VirtualKey("alice"))
		second := first
		second.Servers = []string{"wiki"}
		second = f.puts(second)
		if second.Revision <= first.Revision {
			f.Errorf("revision %d after %d", second.Revision, first.Revision)
		}
		for _, stale := range []storage.VirtualKey{first, f.VirtualKey("alice")} {
			got, v, err := f.Store.PutVirtualKey(suite.Ctx(), stale)
			f.Verdict(v, err, storage.Changed)
			f.Equal(got, second)
		}
		f.deletes(first, storage.Changed)
		f.has(suite.Issuer, second)
	},
	"one that is gone is not changed": func(f *fixture) {
		k := f.puts(f.VirtualKey("alice"))
		f.deletes(k, storage.OK)
		got, v, err := f.Store.PutVirtualKey(suite.Ctx(), k)
		f.Verdict(v, err, storage.Changed)
		f.Equal(got, storage.VirtualKey{})
		again := f.puts(f.VirtualKey("alice"))
		got, v, err = f.Store.PutVirtualKey(suite.Ctx(), k) // it is another one by now
		f.Verdict(v, err, storage.Changed)
		f.Equal(got, again)
		f.deletes(k, storage.Changed)
		f.has(suite.Issuer, again)
	},
	"all of an issuer, by look": func(f *fixture) {
		var want []storage.VirtualKey
		for _, name := range []string{"Zoe", "alice", "bob"} {
			want = append(want, f.puts(f.VirtualKey(name)))
		}
		other := f.VirtualKey("alice")
		other.Issuer = suite.OtherIssuer
		other = f.puts(other)
		slices.SortFunc(want, func(a, b storage.VirtualKey) int {
			if a.Look < b.Look {
				return -1
			}
			return 1
		})
		f.has(suite.Issuer, want...)
		f.has(suite.OtherIssuer, other)
		f.has("https://nobody.example.com")
	},
	"each change is counted for its issuer": func(f *fixture) {
		last := f.change()
		f.Equal(last, uint64(0))
		grows := func(what string) {
			f.Helper()
			now := f.change()
			if now <= last {
				f.Errorf("%s: number %d after %d", what, now, last)
			}
			last = now
		}
		k := f.puts(f.VirtualKey("alice"))
		grows("made")
		f.Equal(k.Revision, last)
		k = f.puts(k)
		grows("changed")
		f.Equal(k.Revision, last)
		_, v, err := f.Store.PutVirtualKey(suite.Ctx(), f.VirtualKey("alice"))
		f.Verdict(v, err, storage.Changed)
		f.Equal(f.change(), last)
		other := f.VirtualKey("bob")
		other.Issuer = suite.OtherIssuer
		f.puts(other)
		f.Equal(f.change(), last)
		f.deletes(k, storage.OK)
		grows("deleted")
		f.deletes(k, storage.Unknown)
		f.Equal(f.change(), last)
	},
}

var virtualKeyRaceTests = map[string]func(*fixture){
	"one of many makes or changes it": func(f *fixture) {
		current := f.VirtualKey("alice")
		for round := range suite.Rounds {
			results := make([]storage.VirtualKey, suite.Racers)
			won := f.Race(func(n int) storage.Verdict {
				mine := current
				mine.Hash = suite.Hash("%d %d", round, n)
				got, v, err := f.Store.PutVirtualKey(suite.Ctx(), mine)
				results[n] = got
				return f.Raced(v, err, storage.OK, storage.Changed)
			})
			current = results[won]
			f.Equal(current.Hash, suite.Hash("%d %d", round, won))
			f.has(suite.Issuer, current)
		}
	},
	"one of many deletes it, or changes it": func(f *fixture) {
		for round := range suite.Rounds {
			k := f.puts(f.VirtualKey(fmt.Sprint("key ", round)))
			won := f.Race(func(n int) storage.Verdict {
				if n%2 == 0 {
					v, err := f.Store.DeleteVirtualKey(suite.Ctx(), k)
					return f.Raced(v, err, storage.OK, storage.Changed, storage.Unknown)
				}
				changed := k
				changed.Disabled = true
				_, v, err := f.Store.PutVirtualKey(suite.Ctx(), changed)
				return f.Raced(v, err, storage.OK, storage.Changed)
			})
			all, _, err := f.Store.VirtualKeys(suite.Ctx(), suite.Issuer)
			f.Must(err)
			if deleted := len(all) == 0; deleted != (won%2 == 0) {
				f.Fatalf("racer %d won, and there are the keys %+v", won, all)
			}
			for _, left := range all {
				f.deletes(left, storage.OK)
			}
		}
	},
	"different ones do not disturb each other": func(f *fixture) {
		before := f.change()
		numbers := make([]uint64, suite.Racers)
		f.Together(func(n int) {
			k, v, err := f.Store.PutVirtualKey(suite.Ctx(), f.VirtualKey(fmt.Sprint("key ", n)))
			f.Raced(v, err, storage.OK)
			numbers[n] = k.Revision
		})
		slices.Sort(numbers)
		if got := len(slices.Compact(numbers)); got != suite.Racers {
			f.Errorf("%d changes have %d numbers", suite.Racers, got)
		}
		if after := f.change(); after < before+uint64(suite.Racers) {
			f.Errorf("number %d after %d and %d changes", after, before, suite.Racers)
		}
		all, _, err := f.Store.VirtualKeys(suite.Ctx(), suite.Issuer)
		f.Must(err)
		f.Equal(len(all), suite.Racers)
	},
}

func (f *fixture) puts(k storage.VirtualKey) storage.VirtualKey {
	f.Helper()
	got, v, err := f.Store.PutVirtualKey(suite.Ctx(), k)
	f.Verdict(v, err, storage.OK)
	k.Revision = got.Revision
	f.Equal(got, k)
	return got
}

func (f *fixture) deletes(k storage.VirtualKey, want storage.Verdict) {
	f.Helper()
	v, err := f.Store.DeleteVirtualKey(suite.Ctx(), k)
	f.Verdict(v, err, want)
}

// change returns the number of the last change, which both verbs must tell.
func (f *fixture) change() uint64 {
	f.Helper()
	number, err := f.Store.LastVirtualKeyChange(suite.Ctx(), suite.Issuer)
	f.Must(err)
	_, same, err := f.Store.VirtualKeys(suite.Ctx(), suite.Issuer)
	f.Must(err)
	f.Equal(same, number)
	return number
}

func (f *fixture) has(issuer string, want ...storage.VirtualKey) {
	f.Helper()
	got, _, err := f.Store.VirtualKeys(suite.Ctx(), issuer)
	f.Must(err)
	f.Equal(got, want)
}
