package trace

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

type owned struct {
	number         int
	sender, person string
	room           int
}

func (o owned) parts() (sender, person string, room int) { return o.sender, o.person, o.room }

// richest returns who has most; of several, whose oldest is the oldest.
func richest(traces []owned, who func(owned) string) (richest string) {
	has := map[string]int{}
	for _, t := range traces {
		has[who(t)] += t.room
	}
	for i, t := range traces {
		if i == 0 || has[who(t)] > has[richest] {
			richest = who(t)
		}
	}
	return richest
}

// Room is made by one after the other: the oldest of the person with the most at the
// sender with the most.
func TestGiveWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		traces := make([]owned, rapid.IntRange(0, 30).Draw(t, "traces"))
		for i := range traces {
			traces[i] = owned{
				i, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "sender"), rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "person"),
				rapid.IntRange(1, 3).Draw(t, "room"),
			}
		}
		enough := rapid.IntRange(0, 70).Draw(t, "enough")

		var want []owned
		left := slices.Clone(traces)
		for made := 0; made < enough && len(left) > 0; {
			sender := richest(left, func(o owned) string { return o.sender })
			there := slices.DeleteFunc(slices.Clone(left), func(o owned) bool { return o.sender != sender })
			person := richest(there, func(o owned) string { return o.person })
			one := there[slices.IndexFunc(there, func(o owned) bool { return o.person == person })]
			left = slices.DeleteFunc(left, func(o owned) bool { return o == one })
			want, made = append(want, one), made+one.room
		}
		if got := giveWay(traces, owned.parts, enough); !slices.Equal(got, want) {
			t.Errorf("of %v, %d: got %v, want %v", traces, enough, got, want)
		}
	})
}

// What it costs to record a step of somebody who signs in when there is no room left.
func BenchmarkRecordFull(b *testing.B) {
	r := NewRecorder(DefaultLimits, func(address string) string { return address })
	record := func(i int) {
		id := fmt.Sprint(i)
		r.Record(&event.Event{
			Kind: event.TokenIssued, Time: time.Unix(int64(i), 0), Address: "192.0.2." + fmt.Sprint(i%250),
			Grant: "g" + id, Person: "oidc:" + fmt.Sprint(i%1000), Client: "c" + id,
		})
	}
	for i := range 3000 {
		record(i)
	}
	i := 3000
	for b.Loop() {
		record(i)
		i++
	}
}
