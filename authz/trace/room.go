package trace

import "slices"

// givesWay returns which trace makes room for others, of traces with the oldest
// first: the oldest of whoever has the most, which is the sender with the most, and
// of those who signed in there the person with the most. So whoever fills the room,
// from one place or behind one address with many others, pushes out their own.
func givesWay[T comparable](traces []T, of func(T) (sender, person string, room int)) T {
	sender := most(traces, func(t T) (string, int) {
		sender, _, room := of(t)
		return sender, room
	})
	there := slices.DeleteFunc(slices.Clone(traces), func(t T) bool {
		from, _, _ := of(t)
		return from != sender
	})
	person := most(there, func(t T) (string, int) {
		_, person, room := of(t)
		return person, room
	})
	i := slices.IndexFunc(there, func(t T) bool {
		_, who, _ := of(t)
		return who == person
	})
	return there[i]
}

// most returns who has most; of several, whose oldest is the oldest.
func most[T any](traces []T, of func(T) (who string, room int)) (most string) {
	has := map[string]int{}
	for _, t := range traces {
		who, room := of(t)
		has[who] += room
	}
	for i, t := range traces {
		if who, _ := of(t); i == 0 || has[who] > has[most] {
			most = who
		}
	}
	return most
}
