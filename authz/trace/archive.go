package trace

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
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
	// attempts is how often a write is tried that another instance was faster with.
	attempts = 5
)

// Archive keeps the traces of one site that failed, across restarts and for all
// instances that share a store. They are sealed.
type Archive struct {
	issuer string
	store  storage.AuthStore
	keys   *seal.Keyring
	now    func() time.Time
}

// NewArchive returns the archive of a site.
func NewArchive(issuer string, store storage.AuthStore, keys *seal.Keyring, now func() time.Time) *Archive {
	return &Archive{issuer, store, keys, now}
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

var errBusy = errors.New("trace: other instances were faster each time")

func (a *Archive) put(ctx context.Context, i int, traces []*Trace) error {
	for range attempts {
		kept, text, err := a.open(ctx, i)
		if err != nil {
			return err
		}
		next, err := a.seal(i, merge(kept, traces, a.now()))
		if err != nil {
			return err
		}
		now := a.now()
		value := storage.SiteValue{Issuer: a.issuer, Name: sealed.TracesName(i), Text: next, ExpiresAt: now.Add(lifetime)}
		verdict, err := a.store.ReplaceSiteValue(ctx, value, text, now)
		if err != nil {
			return err
		}
		if verdict == storage.OK {
			return nil
		}
	}
	return errBusy
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
	for len(all) > perDrawer {
		all = without(all, givesWay(all, func(t *Trace) (string, string, int) { return ratelimit.SenderBlock(t.Address), t.Person, 1 }))
	}
	return all
}

func without(traces []*Trace, one *Trace) []*Trace {
	return slices.DeleteFunc(slices.Clone(traces), func(t *Trace) bool { return t == one })
}

// seal returns the text of a drawer. If its traces are too large together, some are
// left out.
func (a *Archive) seal(i int, traces []*Trace) (string, error) {
	for {
		plain, err := json.Marshal(traces)
		if err != nil {
			return "", err
		}
		if len(plain) <= drawerBytes || len(traces) <= 1 {
			return base64.RawURLEncoding.EncodeToString(a.keys.Seal(plain, a.context(i)...)), nil
		}
		traces = lighter(traces)
	}
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
	return without(traces, givesWay(larger, func(t *Trace) (string, string, int) { return ratelimit.SenderBlock(t.Address), t.Person, t.room() }))
}

// room is how many bytes the steps of a trace take, at least one.
func (t *Trace) room() int {
	n := 1
	for i := range t.Steps {
		n += t.Steps[i].size()
	}
	return n
}

// open returns what a drawer has, and its text. What cannot be read, after the
// encryption key was lost or by an older version, is as good as empty.
func (a *Archive) open(ctx context.Context, i int) ([]*Trace, string, error) {
	v, err := a.store.SiteValue(ctx, a.issuer, sealed.TracesName(i), a.now())
	if errors.Is(err, storage.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	var traces []*Trace
	box, err := base64.RawURLEncoding.DecodeString(v.Text)
	if err != nil {
		return nil, v.Text, nil
	}
	plain, err := a.keys.Open(box, a.context(i)...)
	if err != nil || json.Unmarshal(plain, &traces) != nil {
		return nil, v.Text, nil
	}
	return traces, v.Text, nil
}

func (a *Archive) context(i int) []string { return sealed.Traces(a.issuer, sealed.TracesName(i)) }

// All returns all that is kept.
func (a *Archive) All(ctx context.Context) ([]*Trace, error) {
	var all []*Trace
	for i := range drawers {
		traces, _, err := a.open(ctx, i)
		if err != nil {
			return nil, err
		}
		all = append(all, traces...)
	}
	return all, nil
}
