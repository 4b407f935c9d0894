package pins

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealedvalue"
)

const (
	// savePause is how long changes wait for the next ones, after some were stored: a
	// server may define something otherwise each time.
	savePause = time.Minute
	// keptTexts bounds the texts that the store has of one server.
	keptTexts = 1 << 20
	// keptPending is for how long a definition waits to be approved that was not listed
	// since.
	keptPending = 30 * 24 * time.Hour
)

// kept is what the store has of a server.
type kept struct {
	PinnedAt time.Time           `json:"pinned_at,omitzero"`
	Tools    map[string]keptTool `json:"tools"`
}

type keptTool struct {
	Approved []Definition `json:"approved,omitempty"`
	Pending  []Definition `json:"pending,omitempty"`
}

func (t *Tools) value(at sealedvalue.Place) *sealedvalue.Value {
	name := sealed.PinsName(t.server)
	return &sealedvalue.Value{Place: at, Name: name, Context: sealed.Pins(at.Issuer, name)}
}

// Ready reads what the store has, unless that was done: without it, nobody could say
// what was approved. What cannot be decrypted approves nothing.
func (t *Tools) Ready(ctx context.Context, at sealedvalue.Place) error {
	if t.loaded.Load() {
		return nil
	}
	if err := t.load(ctx, at); !errors.Is(err, sealedvalue.ErrUnreadable) {
		return err
	}
	return nil
}

func (t *Tools) load(ctx context.Context, at sealedvalue.Place) error {
	t.stale.Store(false)
	plain, err := t.value(at).Read(ctx)
	stored := new(kept)
	if err == nil {
		stored, err = decode(plain)
	} else if errors.Is(err, sealedvalue.ErrUnreadable) {
		stored.PinnedAt = at.Now()
	}
	if err != nil {
		t.stale.Store(true)
	}
	if err == nil || errors.Is(err, sealedvalue.ErrUnreadable) {
		t.mu.Lock()
		t.adopt(stored)
		t.mu.Unlock()
		t.loaded.Store(true)
	}
	return err
}

// Sync makes what is known and what the store at the place has the same, as far as
// that is due.
func (t *Tools) Sync(ctx context.Context, at sealedvalue.Place) error {
	if t.stale.Load() {
		if err := t.load(ctx, at); err != nil {
			return err
		}
	}
	now := at.Now()
	if since := now.Sub(t.savedAt); since >= 0 && since < savePause || !t.changed.Load() {
		return nil
	}
	t.savedAt = now
	return t.save(ctx, at, nil)
}

// save stores what there is, beside what others stored, with what act returns under the
// lock: what somebody approves, which replaces what cannot be decrypted. It counts here
// once it is stored.
func (t *Tools) save(ctx context.Context, at sealedvalue.Place, act func() ([]approval, error)) error {
	t.changed.Store(false)
	var approved []approval
	err := t.value(at).Update(ctx, func(plain []byte, unreadable bool) ([]byte, error) {
		if unreadable && act == nil {
			return nil, sealedvalue.ErrUnreadable
		}
		stored, err := decode(plain)
		if err != nil {
			return nil, err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.adopt(stored)
		if act != nil {
			if approved, err = act(); err != nil {
				return nil, err
			}
		}
		t.expire(at.Now())
		return encode(t.keep().with(approved, at.Now()))
	})
	if err != nil {
		t.changed.Store(true)
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range approved {
		t.approve(a.tool, a.Definition)
	}
	if len(approved) > 0 && t.pinnedAt.IsZero() {
		t.pinnedAt = at.Now()
	}
	return nil
}

// with adds what somebody approves.
func (k *kept) with(approved []approval, now time.Time) *kept {
	if len(approved) > 0 && k.PinnedAt.IsZero() {
		k.PinnedAt = now
	}
	for _, a := range approved {
		one := k.Tools[a.tool]
		same := func(d Definition) bool { return d.Hash == a.Hash }
		one.Pending = slices.DeleteFunc(one.Pending, same)
		if !slices.ContainsFunc(one.Approved, same) {
			one.Approved = append(one.Approved, a.Definition)
		}
		k.Tools[a.tool] = one
	}
	return k
}

// adopt adds what others stored.
func (t *Tools) adopt(stored *kept) {
	if !stored.PinnedAt.IsZero() && (t.pinnedAt.IsZero() || stored.PinnedAt.Before(t.pinnedAt)) {
		t.pinnedAt = stored.PinnedAt
	}
	for name, theirs := range stored.Tools {
		one := t.tools[name]
		if one == nil {
			one = new(tool)
			t.tools[name] = one
		}
		for _, d := range theirs.Approved {
			if !one.approves(d.Hash) {
				one.approved = append(one.approved, d)
			}
		}
		for _, d := range theirs.Pending {
			if !one.awaits(d.Hash) && !one.approves(d.Hash) {
				one.pending = append(one.pending, d)
				t.holdForAll(name, d.Hash)
			}
		}
		one.pending = slices.DeleteFunc(one.pending, func(d Definition) bool { return one.approves(d.Hash) })
		one.bound()
	}
}

// holdForAll holds a tool back that another instance was listed with a definition that
// was not approved: if the server lists the same to all, it would define it so here, too.
// The next list tells whether it still does. Where it lists to each account what it has
// for that, what one was listed says nothing of others.
func (t *Tools) holdForAll(name string, h Hash) {
	if _, other, seen := t.views.look("", name); seen && !other {
		t.views.hold("", name, h)
	}
}

// expire forgets what has waited for long, and counts the texts that there are.
func (t *Tools) expire(now time.Time) {
	t.texts = 0
	for name, one := range t.tools {
		for _, all := range [][]Definition{one.approved, one.pending} {
			for i := range all {
				t.texts += all[i].size()
			}
		}
		one.pending = slices.DeleteFunc(one.pending, func(d Definition) bool { return now.Sub(d.At) > keptPending })
		if len(one.approved)+len(one.pending) == 0 {
			delete(t.tools, name)
		}
	}
}

// keep returns what the store is to have. Where the texts of all are too much, those
// that are approved go without: of them, less is to be shown.
func (t *Tools) keep() *kept {
	all := &kept{PinnedAt: t.pinnedAt, Tools: map[string]keptTool{}}
	room := keptTexts
	names := slices.Sorted(maps.Keys(t.tools))
	for _, name := range names {
		all.Tools[name] = keptTool{Pending: keepAll(t.tools[name].pending, &room)}
	}
	for _, name := range names {
		all.Tools[name] = keptTool{keepAll(t.tools[name].approved, &room), all.Tools[name].Pending}
	}
	return all
}

func keepAll(definitions []Definition, room *int) []Definition {
	all := slices.Clone(definitions)
	for i := range all {
		if size := all[i].size(); size <= *room {
			*room -= size
		} else {
			all[i].Texts = nil
		}
	}
	return all
}

// encode writes what the store has, compressed: servers repeat themselves.
func encode(k *kept) ([]byte, error) {
	plain, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return packed.Bytes(), err
}

var errVersion = errors.New("the approved tools in the store are of another version of this program")

// decode reads what encode wrote; nothing for nothing.
func decode(packed []byte) (*kept, error) {
	k := new(kept)
	if packed == nil {
		return k, nil
	}
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil || json.Unmarshal(plain, k) != nil {
		return nil, errVersion
	}
	return k, nil
}
