package virtualkeys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// ErrUnknown: the site has no key of this name.
var ErrUnknown = errors.New("virtualkeys: there is no virtual key of this name")

// Refused is why a key is not made or changed, in words for an operator.
type Refused struct {
	Text string
	// Conflict tells that it is because of what there is already.
	Conflict bool
}

func (r *Refused) Error() string { return r.Text }

func refuse(format string, args ...any) error { return &Refused{Text: fmt.Sprintf(format, args...)} }

func conflict(format string, args ...any) error {
	return &Refused{Text: fmt.Sprintf(format, args...), Conflict: true}
}

// Change is what an operator wants of a key; nil leaves it as it is.
type Change struct {
	Servers   *[]string  // nil inside means all
	ExpiresAt *time.Time // zero means never
	Disabled  *bool
}

// maxOverlap bounds how long a key is good beside its successor.
const maxOverlap = 365 * 24 * time.Hour

// Create makes a key and returns it: it is told this once, and never kept.
func (k *Keys) Create(ctx context.Context, name string, c Change) (key Key, secret string, err error) {
	cfg := k.deps.Config
	if !cfg.UsesVirtualKeys() {
		return Key{}, "", conflict("%s has neither `identity virtual_key` nor a virtual_key in its configuration; add `identity virtual_key`, so that it knows about them", cfg.Issuer)
	}
	if clean, err := identity.CleanName(name); err != nil || clean != name || strings.Contains(name, "/") || strings.Trim(name, ".") == "" {
		return Key{}, "", refuse("%q cannot be the name of a key here; use 1 to %d visible characters, without / and without space at the ends", name, identity.MaxName)
	}
	s := storage.VirtualKey{Issuer: cfg.Issuer, Look: spelling.Fold(name), Name: name, CreatedAt: k.deps.Now()}
	if c.Servers == nil {
		c.Servers = new([]string)
	}
	if err := k.apply(&s, c); err != nil {
		return Key{}, "", err
	}
	if other := k.configured(s.Look); other != "" {
		return Key{}, "", conflict("%s", taken(name, other, "in the configuration"))
	}
	secret = tokens.NewVirtualKey()
	s.Hash = storage.HashOf(secret)
	s, v, err := k.deps.Store.PutVirtualKey(ctx, s)
	switch {
	case err != nil:
		return Key{}, "", oauth.Unavailable(err)
	case v != storage.OK:
		return Key{}, "", conflict("%s", taken(name, s.Name, "already"))
	}
	k.acted(ctx, event.KeyMade, "made", s)
	k.took(ctx)
	return k.describe(s), secret, nil
}

func taken(name, other, where string) string {
	if other == name {
		return fmt.Sprintf("there is a virtual key %s %s; choose another name", name, where)
	}
	return fmt.Sprintf("there is a virtual key %s %s, which looks like %s; choose a name that nobody takes for another", other, where, name)
}

// Change changes a key that is in the store.
func (k *Keys) Change(ctx context.Context, name string, c Change) (Key, error) {
	return k.change(ctx, name, "changed", func(s *storage.VirtualKey) error { return k.apply(s, c) })
}

// Rotate gives a key a successor, which it returns as Create does. The key itself
// is good for overlap longer, if it is good at all: one that was disabled because it
// leaked must not come back with its successor.
func (k *Keys) Rotate(ctx context.Context, name string, overlap time.Duration) (key Key, secret string, err error) {
	if overlap < 0 || overlap > maxOverlap {
		return Key{}, "", refuse("overlap is a duration from 0s to 365d: how long the key that there is now stays good")
	}
	secret = tokens.NewVirtualKey()
	key, err = k.change(ctx, name, "rotated", func(s *storage.VirtualKey) error {
		now := k.deps.Now()
		s.Former, s.FormerUntil = nil, time.Time{}
		if overlap > 0 && k.statusOf(*s, now) == Active {
			former := s.Hash
			s.Former, s.FormerUntil = &former, now.Add(overlap)
		}
		s.Hash, s.RotatedAt = storage.HashOf(secret), now
		return nil
	})
	if err != nil {
		return Key{}, "", err
	}
	return key, secret, nil
}

// Delete ends a key that is in the store, and what was approved with it.
func (k *Keys) Delete(ctx context.Context, name string) error {
	for {
		s, err := k.find(ctx, name)
		if err != nil {
			return err
		}
		switch v, err := k.deps.Store.DeleteVirtualKey(ctx, s); {
		case err != nil:
			return oauth.Unavailable(err)
		case v == storage.OK:
			k.acted(ctx, event.KeyDeleted, "deleted", s)
			k.forgetUse(ctx, s.Name)
			k.took(ctx)
			return nil
		}
	}
}

// change does what f does to a key. f may run again.
func (k *Keys) change(ctx context.Context, name, how string, f func(*storage.VirtualKey) error) (Key, error) {
	for {
		before, err := k.find(ctx, name)
		if err != nil {
			return Key{}, err
		}
		after := before
		if err := f(&after); err != nil {
			return Key{}, err
		}
		if k.gave(before, after) {
			after.Withdrawn++
		}
		stored, v, err := k.deps.Store.PutVirtualKey(ctx, after)
		if err != nil {
			return Key{}, oauth.Unavailable(err)
		}
		if v != storage.OK { // another process was faster
			continue
		}
		k.acted(ctx, event.KeyChanged, how, stored)
		k.took(ctx)
		return k.describe(stored), nil
	}
}

// gave reports whether what was approved with a key before a change must not be
// good after it: the change takes servers away, or gives back what was taken.
func (k *Keys) gave(before, after storage.VirtualKey) bool {
	now := k.deps.Now()
	revived := k.statusOf(before, now) != Active && k.statusOf(after, now) == Active
	list := func(s storage.VirtualKey) identity.Listed { return identity.Listed{Servers: s.Servers} }
	return revived || !list(after).Covers(list(before))
}

// find returns a key as it is in the store by now.
func (k *Keys) find(ctx context.Context, name string) (storage.VirtualKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.readStore(ctx); err != nil {
		return storage.VirtualKey{}, err
	}
	k.publish()
	for _, s := range k.stored.keys {
		if s.Name == name {
			return s, nil
		}
	}
	if k.IsConfigured(name) {
		return storage.VirtualKey{}, conflict("%s is a key of the configuration; change it there", name)
	}
	return storage.VirtualKey{}, ErrUnknown
}

// took lets what was stored take effect here at once. If that fails, keys in the
// store are not trusted until Refresh has looked at them, which also ends what is
// still to end.
func (k *Keys) took(ctx context.Context) {
	k.mu.Lock()
	err := k.readStore(ctx)
	if err != nil {
		k.deps.Config.Keys.Confirm(time.Time{})
	} else {
		k.publish()
	}
	k.mu.Unlock()
	if err == nil {
		err = k.End(ctx)
	}
	if err != nil {
		k.deps.Events.Record(ctx, event.Event{Kind: event.StoreFailed, Detail: "letting a change of a virtual key, which is stored, take effect", Err: err})
	}
}

// acted records what an operator did to a key.
func (k *Keys) acted(ctx context.Context, kind event.Kind, how string, s storage.VirtualKey) {
	if s.Disabled {
		how = "disabled"
	}
	k.record(ctx, s.Name, event.Event{Kind: kind, By: event.ByOperator, Reason: how, Servers: strings.Join(s.Servers, " ")})
}

// apply changes a record as an operator wants it, or says what is wrong with that.
func (k *Keys) apply(s *storage.VirtualKey, c Change) error {
	if c.Servers != nil {
		servers := *c.Servers
		if servers != nil && len(servers) == 0 {
			return refuse("servers has none; leave it out, or write null, for all of them")
		}
		if err := k.deps.Config.CheckKeyServers("servers", servers); err != nil {
			var e *config.Error
			errors.As(err, &e)
			return refuse("%s", e.Error())
		}
		s.Servers = slices.Clone(servers)
	}
	if c.ExpiresAt != nil {
		if !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(k.deps.Now()) {
			return refuse("the key would expire in the past; name a time that is still to come")
		}
		s.ExpiresAt = c.ExpiresAt.UTC()
	}
	if c.Disabled != nil {
		if other := k.configured(s.Look); !*c.Disabled && other != "" {
			return conflict("%s", taken(s.Name, other, "in the configuration")+", or remove that one")
		}
		s.Disabled = *c.Disabled
	}
	return nil
}
