package trace

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealedvalue"
)

const (
	// drawers is how many site values the traces of a site are spread over, so that
	// instances seldom write the same one, and a write is small.
	drawers = 16
	// perDrawer and drawerBytes bound one of them.
	perDrawer    = 16
	perStrangers = 8 // of them, those in which nobody signed in
	perSender    = 2 // of those, from one block of addresses
	perPerson    = 3 // of one who signed in
	drawerBytes  = 64 << 10
	// lifetime is how long a trace is kept: it has people and addresses.
	lifetime = 14 * 24 * time.Hour
)

// Archive keeps the traces of one site that failed, across restarts and for all
// instances that share a store. They are sealed.
type Archive struct{ place sealedvalue.Place }

// NewArchive returns the archive of a site.
func NewArchive(issuer string, store storage.AuthStore, keys *seal.Keyring, now func() time.Time) *Archive {
	return &Archive{sealedvalue.Place{Issuer: issuer, Store: store, Keys: keys, Now: now}}
}

// Save stores traces, in place of what was stored of them before.
func (a *Archive) Save(ctx context.Context, traces []*Trace) error {
	var byDrawer [drawers][]*Trace
	for _, t := range traces {
		i := drawerOf(t.ID)
		byDrawer[i] = append(byDrawer[i], t)
	}
	var failed []error
	for i, some := range byDrawer {
		if len(some) > 0 {
			failed = append(failed, a.put(ctx, i, some))
		}
	}
	return errors.Join(failed...)
}

func drawerOf(id string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return int(h.Sum32() % drawers)
}

func (a *Archive) put(ctx context.Context, i int, traces []*Trace) error {
	return a.drawer(i).Update(ctx, func(kept []byte, _ bool) ([]byte, error) {
		return encode(merge(decode(kept), traces, a.place.Now()))
	})
}

// drawer returns the value that keeps the traces of a drawer.
func (a *Archive) drawer(i int) *sealedvalue.Value {
	name := sealed.TracesName(i)
	return &sealedvalue.Value{Place: a.place, Name: name, Context: sealed.Traces(a.place.Issuer, name), Lifetime: lifetime}
}

// merge returns what a drawer has with more traces in it: the newest ones that
// there is room for, the oldest first.
func merge(kept, more []*Trace, now time.Time) []*Trace {
	all := slices.DeleteFunc(slices.Clone(kept), func(t *Trace) bool {
		return now.Sub(t.Last) > lifetime || slices.ContainsFunc(more, func(newer *Trace) bool { return newer.ID == t.ID })
	})
	all = append(all, more...)
	slices.SortStableFunc(all, func(a, b *Trace) int { return b.Last.Compare(a.Last) })
	strangers, senders, people := 0, map[string]int{}, map[string]int{}
	all = slices.DeleteFunc(all, func(t *Trace) bool {
		if t.Person != "" {
			people[t.Person]++
			return people[t.Person] > perPerson
		}
		sender := ratelimit.SenderBlock(t.Address)
		if strangers == perStrangers || t.Address != "" && senders[sender] == perSender {
			return true
		}
		strangers++
		senders[sender]++
		return false
	})
	slices.Reverse(all)
	return without(all, giveWay(all, func(t *Trace) (string, string, int) { return ratelimit.SenderBlock(t.Address), t.Person, 1 }, len(all)-perDrawer))
}

func without(traces, some []*Trace) []*Trace {
	return slices.DeleteFunc(slices.Clone(traces), func(t *Trace) bool { return slices.Contains(some, t) })
}

// encode returns what is kept of traces. If they are too large together, some are
// left out.
func encode(traces []*Trace) ([]byte, error) {
	for {
		plain, err := json.Marshal(traces)
		if err != nil || len(plain) <= drawerBytes || len(traces) <= 1 {
			return plain, err
		}
		traces = lighter(traces)
	}
}

// decode returns the traces that are kept. What an older version wrote is as good as
// none.
func decode(kept []byte) []*Trace {
	var traces []*Trace
	if json.Unmarshal(kept, &traces) != nil {
		return nil
	}
	return traces
}

// lighter leaves out a trace of strangers or of people, whichever take more room:
// strangers, who can make theirs long, push out nobody who signed in.
func lighter(traces []*Trace) []*Trace {
	var room [2]int
	var of [2][]*Trace
	for _, t := range traces {
		i := min(len(t.Person), 1)
		of[i] = append(of[i], t)
		room[i] += t.room()
	}
	larger := of[0]
	if room[1] > room[0] {
		larger = of[1]
	}
	return without(traces, giveWay(larger, func(t *Trace) (string, string, int) { return ratelimit.SenderBlock(t.Address), t.Person, t.room() }, 1))
}

// room is how many bytes the steps of a trace take, at least one.
func (t *Trace) room() int {
	n := 1
	for i := range t.Steps {
		n += t.Steps[i].size()
	}
	return n
}

// All returns all that is kept. What cannot be read, after the encryption key was
// lost, is as good as nothing.
func (a *Archive) All(ctx context.Context) ([]*Trace, error) {
	var all []*Trace
	for i := range drawers {
		kept, err := a.drawer(i).Read(ctx)
		if err != nil && !errors.Is(err, sealedvalue.ErrUnreadable) {
			return nil, err
		}
		all = append(all, decode(kept)...)
	}
	return all, nil
}
