package sharedtest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// announce says that an instance is at work, and returns all that are.
func (f *fixture) announce(s storage.Store, id, about string, within time.Duration) []storage.Instance {
	f.Helper()
	all, err := s.(storage.InstanceStore).AnnounceInstance(suite.Ctx(), storage.Instance{ID: id, About: []byte(about)}, within)
	f.Must(err)
	return all
}

// says returns what instances say of themselves.
func says(all []storage.Instance) (texts []string) {
	for _, i := range all {
		texts = append(texts, i.ID+": "+string(i.About))
	}
	return texts
}

var instanceTests = map[string]func(*fixture){
	"each is told of all, itself included, by their IDs": func(f *fixture) {
		f.Equal(says(f.announce(f.Store, "b", "first", time.Hour)), []string{"b: first"})
		f.Equal(says(f.announce(f.Other, "a", "second", time.Hour)), []string{"a: second", "b: first"})
		f.Equal(says(f.announce(f.Store, "c", "", time.Hour)), []string{"a: second", "b: first", "c: "})
	},
	"who is announced again began when they first were, and says what they say now": func(f *fixture) {
		began := f.announce(f.Store, "a", "before", time.Hour)[0]
		if began.StartedAt.IsZero() || began.SeenAt.Before(began.StartedAt) {
			f.Fatalf("started at %v, seen at %v", began.StartedAt, began.SeenAt)
		}
		again := f.announce(f.Store, "a", "after", time.Hour)
		f.Equal(says(again), []string{"a: after"})
		f.Equal(again[0].StartedAt, began.StartedAt)
		if !again[0].SeenAt.After(began.SeenAt) {
			f.Errorf("seen at %v, and then at %v", began.SeenAt, again[0].SeenAt)
		}
	},
	"who leaves is forgotten, and can come back as somebody new": func(f *fixture) {
		began := f.announce(f.Store, "a", "", time.Hour)[0]
		f.announce(f.Store, "b", "", time.Hour)
		f.Must(f.Other.(storage.InstanceStore).LeaveInstance(suite.Ctx(), "a"))
		f.Must(f.Other.(storage.InstanceStore).LeaveInstance(suite.Ctx(), "unknown"))
		f.Equal(says(f.announce(f.Other, "b", "", time.Hour)), []string{"b: "})
		all := f.announce(f.Store, "a", "", time.Hour)
		f.Equal(says(all), []string{"a: ", "b: "})
		if !all[0].StartedAt.After(began.StartedAt) {
			f.Errorf("it began at %v, and when it came back at %v", began.StartedAt, all[0].StartedAt)
		}
	},
	"who was not seen for so long is forgotten": func(f *fixture) {
		f.announce(f.Store, "gone", "", time.Hour)
		const within = 50 * time.Millisecond
		for began := time.Now(); ; {
			all := f.announce(f.Other, "here", "", within)
			if len(all) == 1 {
				break
			}
			if time.Since(began) > patience {
				f.Fatalf("after %v there are still %q", patience, says(all))
			}
		}
		f.Equal(says(f.announce(f.Other, "here", "", time.Hour)), []string{"here: "})
	},
	"anything can be an ID, and be said": func(f *fixture) {
		strange := "'; --\x00\xff" + string([]rune{0x1f600})
		f.Equal(says(f.announce(f.Store, strange, strange, time.Hour)), []string{strange + ": " + strange})
		long := bytes.Repeat([]byte("x"), 64<<10)
		f.Equal(f.announce(f.Other, strange, string(long), time.Hour)[0].About, long)
		f.Must(f.Store.(storage.InstanceStore).LeaveInstance(suite.Ctx(), strange))
		f.Equal(says(f.announce(f.Store, "a", "", time.Hour)), []string{"a: "})
	},
	"all that are announced at once": func(f *fixture) {
		f.Together(func(n int) {
			s := []storage.Store{f.Store, f.Other}[n%2].(storage.InstanceStore)
			all, err := s.AnnounceInstance(suite.Ctx(), storage.Instance{ID: fmt.Sprintf("%03d", n)}, time.Hour)
			if err != nil || !slices.ContainsFunc(all, func(i storage.Instance) bool { return i.ID == fmt.Sprintf("%03d", n) }) {
				f.Errorf("instance %d: %v, among %q", n, err, says(all))
			}
		})
		all := f.announce(f.Store, "000", "", time.Hour)
		f.Equal(len(all), suite.Racers)
		f.Equal(slices.IsSortedFunc(all, func(a, b storage.Instance) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) }), true)
	},
	"the store's clock tells how far theirs are ahead": func(f *fixture) {
		for _, i := range f.announce(f.Store, "a", "", time.Hour) {
			if clock, is := f.Store.(storage.Clock); is && i.ClockAhead != -clock.Ahead() {
				f.Errorf("ahead by %v, want %v", i.ClockAhead, -clock.Ahead())
			}
		}
	},
}
