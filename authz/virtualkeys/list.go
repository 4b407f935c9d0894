package virtualkeys

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Status is whether a key is good.
type Status string

// What a key can be.
const (
	Active   Status = "active"
	Disabled Status = "disabled"
	Expired  Status = "expired"
)

// Key is a key as operators see it.
type Key struct {
	Name       string
	Configured bool // it is in the configuration, not in the store
	Status     Status
	Servers    []string // none means all
	CreatedAt  time.Time
	RotatedAt  time.Time
	// FormerUntil is how long the key before the last rotation is good; zero if it
	// is not.
	FormerUntil time.Time
	ExpiresAt   time.Time
	LastUsedAt  time.Time
}

// List returns all keys of the site, by name, without their last use.
func (k *Keys) List(ctx context.Context) ([]Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.readStore(ctx); err != nil {
		return nil, err
	}
	k.publish()
	var all []Key
	for _, f := range k.files {
		all = append(all, Key{Name: f.key.Name, Configured: true, Status: Active, Servers: f.key.Servers})
	}
	for _, s := range k.stored.keys {
		all = append(all, k.describe(s))
	}
	slices.SortFunc(all, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// AddLastUses says of each key when it was last used, to the minute or so.
func (k *Keys) AddLastUses(ctx context.Context, keys []Key) error {
	for i := range keys {
		at, err := k.lastUse(ctx, keys[i].Name)
		if err != nil {
			return err
		}
		if !at.Before(keys[i].CreatedAt.Truncate(time.Second)) { // there may have been another one of the name
			keys[i].LastUsedAt = at
		}
	}
	return nil
}

func (k *Keys) describe(s storage.VirtualKey) Key {
	now := k.deps.Now()
	servers, _ := k.serversOf(s)
	key := Key{
		Name: s.Name, Status: k.statusOf(s, now), Servers: servers,
		CreatedAt: s.CreatedAt, RotatedAt: s.RotatedAt, ExpiresAt: s.ExpiresAt,
	}
	if s.Former != nil && now.Before(s.FormerUntil) {
		key.FormerUntil = s.FormerUntil
	}
	return key
}

// statusOf returns what a key in the store is good for. Where the configuration
// has one of its name, or does without virtual keys, it is good for nothing.
func (k *Keys) statusOf(s storage.VirtualKey, now time.Time) Status {
	switch {
	case s.Disabled, k.configured(s.Look) != "", !k.deps.Config.UsesVirtualKeys():
		return Disabled
	case !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt):
		return Expired
	}
	if _, ok := k.serversOf(s); !ok {
		return Disabled
	}
	return Active
}

// useMemory is how long it is known when a key was last used.
const useMemory = 400 * 24 * time.Hour

func useValue(name string) string { return "virtual key used " + name }

// useText is when a key was used by the store's clock: another process reads it.
func (k *Keys) useText(at time.Time) string {
	return at.Add(storage.AheadOf(k.deps.Store)()).UTC().Format(time.RFC3339)
}

// use returns where the uses of a name are noted.
func (k *Keys) use(name string) *identity.LastUse {
	if k.uses[name] == nil {
		k.uses[name] = new(identity.LastUse)
	}
	return k.uses[name]
}

// lastUse returns when a key was last used, zero if that is not known.
func (k *Keys) lastUse(ctx context.Context, name string) (time.Time, error) {
	k.mu.Lock()
	at := k.use(name).At()
	k.mu.Unlock()
	if !at.IsZero() {
		return at, nil
	}
	v, err := k.deps.Store.SiteValue(ctx, k.deps.Config.Issuer, useValue(name), k.deps.Now())
	if errors.Is(err, storage.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, oauth.Unavailable(err)
	}
	if at, err = time.Parse(time.RFC3339, v.Text); err != nil {
		return time.Time{}, oauth.Unavailable(err)
	}
	return at.Add(-storage.AheadOf(k.deps.Store)()), nil
}

// forgetUse forgets when a key was last used: the next of the name is another one.
// Where that fails, a listing may show it for a while.
func (k *Keys) forgetUse(ctx context.Context, name string) {
	k.mu.Lock()
	delete(k.uses, name)
	k.mu.Unlock()
	now := k.deps.Now()
	_ = k.deps.Store.PutSiteValue(ctx, storage.SiteValue{Issuer: k.deps.Config.Issuer, Name: useValue(name), Text: k.useText(now), ExpiresAt: now})
}

// savingAtOnce is how many uses are being stored at a time: their commits to disk
// are shared.
const savingAtOnce = 64

// SaveUses stores the uses that were noted since it was last called. What it fails
// to store is forgotten; the next use is noted again.
func (k *Keys) SaveUses(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(savingAtOnce)
	for name, at := range k.takeUses() {
		group.Go(func() error {
			return k.deps.Store.PutSiteValue(ctx, storage.SiteValue{
				Issuer: k.deps.Config.Issuer, Name: useValue(name), Text: k.useText(at), ExpiresAt: at.Add(useMemory),
			})
		})
	}
	if err := group.Wait(); err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}

// takeUses returns the uses that were noted since it was last called, by name.
func (k *Keys) takeUses() map[string]time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	uses := map[string]time.Time{}
	for name, use := range k.uses {
		if at, noted := use.Take(); noted {
			uses[name] = at
		}
	}
	return uses
}
