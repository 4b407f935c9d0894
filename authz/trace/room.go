package trace

import "slices"

// group is what there is of one sender, and of one person there.
type group struct {
	room   int
	people []*group // of a sender
	traces []int    // of a person, the oldest first
}

// giveWay returns which traces make so much room for others, of traces with the
// oldest first: the oldest of whoever has the most, which is the sender with the most,
// and of those who signed in there the person with the most. So whoever fills the
// room, from one place or behind one address with many others, pushes out their own.
func giveWay[T any](traces []T, of func(T) (sender, person string, room int), enough int) (giving []T) {
	senders := grouped(traces, of)
	for made := 0; made < enough && len(senders) > 0; {
		s := most(senders)
		sender := senders[s]
		p := most(sender.people)
		person := sender.people[p]
		t := traces[person.traces[0]]
		_, _, room := of(t)
		giving, made = append(giving, t), made+room
		sender.room, person.room, person.traces = sender.room-room, person.room-room, person.traces[1:]
		if len(person.traces) == 0 {
			sender.people = slices.Delete(sender.people, p, p+1)
		}
		if len(sender.people) == 0 {
			senders = slices.Delete(senders, s, s+1)
		}
	}
	return giving
}

// grouped returns the senders of traces, with the people who signed in there.
func grouped[T any](traces []T, of func(T) (sender, person string, room int)) (senders []*group) {
	bySender, byPerson := map[string]*group{}, map[[2]string]*group{}
	for i, t := range traces {
		from, who, room := of(t)
		sender := bySender[from]
		if sender == nil {
			sender = new(group)
			bySender[from], senders = sender, append(senders, sender)
		}
		person := byPerson[[2]string{from, who}]
		if person == nil {
			person = new(group)
			byPerson[[2]string{from, who}], sender.people = person, append(sender.people, person)
		}
		sender.room, person.room = sender.room+room, person.room+room
		person.traces = append(person.traces, i)
	}
	return senders
}

// most returns which group has most; of several, the one whose oldest is the oldest.
func most(groups []*group) (most int) {
	for i, g := range groups {
		if m := groups[most]; g.room > m.room || g.room == m.room && g.oldest() < m.oldest() {
			most = i
		}
	}
	return most
}

func (g *group) oldest() int {
	if g.people == nil {
		return g.traces[0]
	}
	return slices.MinFunc(g.people, func(a, b *group) int { return a.traces[0] - b.traces[0] }).traces[0]
}
