package model

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// oneTimes are the one-time values that there are.
var oneTimes = []string{"once-1", "once-2", "once-3"}

func usedName(h storage.Hash) string {
	i := slices.IndexFunc(oneTimes, func(name string) bool { return hash(name) == h })
	if i < 0 {
		return ""
	}
	return oneTimes[i]
}

func (w *World) useOnce() *Operation {
	name, now, until := among(w, oneTimes...), w.Now, w.ends(10*time.Minute)
	return &Operation{
		Verb: "UseOnce", Args: name,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			first, err := s.UseOnce(ctx, hash(name), k.At(until), k.At(now))
			return found(first, err)
		},
		Apply: func(s *state, got *Answer) error {
			first := !there(s.used[name], now)
			if first {
				s.used[name] = until
			}
			if got == nil || got.err != nil {
				return got.isDone()
			}
			return equal("first", got.value.(bool), first)
		},
	}
}

func (w *World) readUsed() *Operation {
	name, now := among(w, oneTimes...), w.Now
	return &Operation{
		Verb: "Used", Args: name, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			used, err := s.Used(ctx, hash(name), k.At(now))
			return found(used, err)
		},
		Apply: func(s *state, got *Answer) error {
			if got == nil || got.err != nil {
				return got.isDone()
			}
			return equal("used", got.value.(bool), there(s.used[name], now))
		},
	}
}

// siteValue is a name, and when what is stored under it ends.
func (w *World) siteValue() (string, storage.SiteValue) {
	name := among(w, "rules", "seen")
	v := storage.SiteValue{Issuer: issuer, Name: name, Text: w.fresh("text-")}
	if name == "seen" {
		v.ExpiresAt = w.ends(time.Hour)
	}
	return name, v
}

func (w *World) putSiteValue() *Operation {
	name, v := w.siteValue()
	w.put[name] = true
	return &Operation{
		Verb: "PutSiteValue", Args: name + ", " + v.Text,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			stored := v
			stored.ExpiresAt = k.At(v.ExpiresAt)
			return done(s.PutSiteValue(ctx, stored))
		},
		Saw: w.noteValue(v),
		Apply: func(s *state, got *Answer) error {
			s.values[name] = siteValue{v.Text, v.ExpiresAt}
			return got.isDone()
		},
	}
}

func (w *World) noteValue(v storage.SiteValue) func(Answer) {
	return func(got Answer) {
		if got.err == nil && (!got.decides || got.verdict == storage.OK) {
			w.values[v.Name] = v.Text
		}
	}
}

func (s *state) liveValue(name string, now time.Time) (siteValue, bool) {
	v, known := s.values[name]
	if !known || !v.expires.IsZero() && !there(v.expires, now) {
		return siteValue{}, false
	}
	return v, true
}

func (w *World) replaceSiteValue() *Operation {
	name, v := w.siteValue()
	now, replaces := w.Now, w.values[name]
	return &Operation{
		Verb: "ReplaceSiteValue", Args: fmt.Sprintf("%s, %s, replaces %q", name, v.Text, replaces),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			stored := v
			stored.ExpiresAt = k.At(v.ExpiresAt)
			got, err := s.ReplaceSiteValue(ctx, stored, replaces, k.At(now))
			return verdict(got, nil, err)
		},
		Saw: w.noteValue(v),
		Apply: func(s *state, got *Answer) error {
			if old, _ := s.liveValue(name, now); old.text != replaces {
				return got.wants(storage.Changed)
			}
			s.values[name] = siteValue{v.Text, v.ExpiresAt}
			return got.wants(storage.OK)
		},
	}
}

func (w *World) readSiteValue() *Operation {
	name, now := among(w, "rules", "seen"), w.Now
	return &Operation{
		Verb: "SiteValue", Args: name, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			v, err := s.SiteValue(ctx, issuer, name, k.At(now))
			return found(v.Text, err)
		},
		Saw: func(got Answer) {
			if !got.Failed() {
				w.values[name], _ = got.value.(string)
			}
		},
		Apply: func(s *state, got *Answer) error {
			v, live := s.liveValue(name, now)
			if err := got.isThere(live); err != nil || got == nil || !live {
				return err
			}
			return equal("text", got.value.(string), v.text)
		},
	}
}

// looks are those of the virtual keys.
var looks = []string{"key-1", "key-2"}

// seenKey is a virtual key in an answer.
type seenKey struct{ storage.VirtualKey }

func (k seenKey) String() string { return fmt.Sprintf("(%s, revision %d)", k.Look, k.Revision) }

// seesKey compares a virtual key in an answer with the one that there is.
func seesKey(s *state, seen storage.VirtualKey, look string) error {
	k, known := s.keys[look]
	if !known || seen.Look == "" {
		return equal("key", seen.Look, "")
	}
	if !k.revision.see(seen.Revision) {
		return fmt.Errorf("revision %d, want %+v", seen.Revision, k.revision)
	}
	s.keys[look] = k
	return equal("disabled", seen.Disabled, k.disabled)
}

func (w *World) putVirtualKey() *Operation {
	look := among(w, looks...)
	next := storage.VirtualKey{Issuer: issuer, Look: look, Name: look, Hash: hash(look), CreatedAt: w.Now, Revision: w.keys[look].Revision, Disabled: w.one(2)}
	return &Operation{
		Verb: "PutVirtualKey", Args: fmt.Sprintf("%s, revision %d, disabled %t", look, next.Revision, next.Disabled),
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			stored, v, err := s.PutVirtualKey(ctx, next)
			return verdict(v, seenKey{stored}, err)
		},
		Saw: func(got Answer) {
			if got.err == nil {
				w.keys[look] = got.value.(seenKey).VirtualKey
			}
		},
		Apply: func(s *state, got *Answer) error {
			want := storage.Changed
			if k, known := s.keys[look]; known && k.revision.is(next.Revision) || !known && next.Revision == 0 {
				s.keyChange, s.keyChanges = s.keyChange.next(), true
				s.keys[look] = virtualKey{revision: s.keyChange, disabled: next.Disabled}
				want = storage.OK
			}
			if got == nil || got.err != nil {
				return got.isDone()
			}
			err := cmp.Or(got.wants(want), seesKey(s, got.value.(seenKey).VirtualKey, look))
			if want == storage.OK {
				s.keyChange = s.keys[look].revision
			}
			return err
		},
	}
}

func (w *World) deleteVirtualKey() *Operation {
	look := among(w, looks...)
	k := storage.VirtualKey{Issuer: issuer, Look: look, Revision: w.keys[look].Revision}
	return &Operation{
		Verb: "DeleteVirtualKey", Args: fmt.Sprintf("%s, revision %d", look, k.Revision),
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			v, err := s.DeleteVirtualKey(ctx, k)
			return verdict(v, nil, err)
		},
		Apply: func(s *state, got *Answer) error {
			stored, known := s.keys[look]
			switch {
			case !known:
				return got.wants(storage.Unknown)
			case !stored.revision.is(k.Revision):
				return got.wants(storage.Changed)
			}
			s.keyChange, s.keyChanges = s.keyChange.next(), true
			delete(s.keys, look)
			return got.wants(storage.OK)
		},
	}
}

// seenKeys are all virtual keys in an answer, and the number of their last change.
type seenKeys struct {
	keys   []storage.VirtualKey
	number uint64
}

func (w *World) listVirtualKeys() *Operation {
	return &Operation{
		Verb: "VirtualKeys", Reads: true,
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			all, n, err := s.VirtualKeys(ctx, issuer)
			return found(seenKeys{all, n}, err)
		},
		Saw: func(got Answer) {
			if got.err == nil {
				clear(w.keys)
				for _, k := range got.value.(seenKeys).keys {
					w.keys[k.Look] = k
				}
			}
		},
		Apply: func(s *state, got *Answer) error {
			if got == nil || got.err != nil {
				return got.isDone()
			}
			seen := got.value.(seenKeys)
			var of []string
			for _, k := range seen.keys {
				of = append(of, k.Look)
				if err := seesKey(s, k, k.Look); err != nil {
					return err
				}
			}
			return cmp.Or(same("keys", of, slices.Sorted(maps.Keys(s.keys))), seesChange(s, seen.number))
		},
	}
}

// seesChange compares the number of the last change.
func seesChange(s *state, got uint64) error {
	if !s.keyChanges && got == 0 || s.keyChanges && s.keyChange.see(got) {
		return nil
	}
	return fmt.Errorf("last change %d, want %+v", got, s.keyChange)
}

func (w *World) lastVirtualKeyChange() *Operation {
	return &Operation{
		Verb: "LastVirtualKeyChange", Reads: true,
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			n, err := s.LastVirtualKeyChange(ctx, issuer)
			return found(n, err)
		},
		Apply: func(s *state, got *Answer) error {
			if got == nil || got.err != nil {
				return got.isDone()
			}
			return seesChange(s, got.value.(uint64))
		},
	}
}
