package instances

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/reseal"
)

// All instances seal with one key, which is a record in the store. So whatever one
// has sealed, marked or signed can be read by all, also while a change of the key goes
// from one to the next: the new key is used once everybody has it.

// ForeignKeyError: the instances on the store seal with a key that a configuration
// does not have. It could read nothing of theirs, nor they anything of its own.
type ForeignKeyError struct {
	store, key string
	own        []string
}

// Error says what to do.
func (e *ForeignKeyError) Error() string {
	return fmt.Sprintf("what is in %s is sealed with the encryption key %s, and the configuration has only %s. "+
		"If this Caddy is one of those that use this database, give it the same encryption_key as they have, or both while the key is changed; "+
		"if it is another installation, give it a schema of its own in storage postgres, or another database. "+
		"If that key is lost, say so with: caddy mcp-oauth rotate-key --lost %s",
		e.store, e.key, strings.Join(e.own, ", "), e.key)
}

// follow has the ring seal with the key that all instances agreed on. The first to
// come proposes it.
func (i *Instances) follow(ctx context.Context, c *Configuration) error {
	agreed, err := reseal.Agree(ctx, i.store, c.Ring.IDs()[0], i.now())
	if err != nil {
		return err
	}
	if !c.Ring.SealWith(agreed) {
		return &ForeignKeyError{store: c.Store, key: agreed, own: c.Ring.IDs()}
	}
	return nil
}

// canOpen refuses a configuration without the key of an instance that goes on sealing
// with the one before until it hears of a change.
func (i *Instances) canOpen(c *Configuration, all []storage.Instance) error {
	_, others := i.split(all)
	for _, other := range others {
		if other.Sealing != "" && !slices.Contains(c.Ring.IDs(), other.Sealing) {
			return &ForeignKeyError{store: c.Store, key: other.Sealing, own: c.Ring.IDs()}
		}
	}
	return nil
}

// advance makes the first key of the configuration the one that seals, once everybody
// has it. Of instances with their keys in another order, the one whose configuration
// was loaded last decides.
func (i *Instances) advance(ctx context.Context, c *Configuration, all []storage.Instance) error {
	first, now := c.Ring.IDs()[0], i.now()
	if c.Ring.Sealing() == first {
		return nil
	}
	own, others := i.split(all)
	for _, other := range others {
		if !slices.Contains(other.Keys, first) || other.Keys[0] != first && later(other, own) {
			i.ready = nil
			return nil
		}
	}
	if i.ready != c {
		i.ready, i.since = c, now
	}
	if len(others) > 0 && now.Sub(i.since) < steady {
		return nil
	}
	changed, err := reseal.Change(ctx, i.store, c.Ring.Sealing(), first, now)
	if changed {
		c.Ring.SealWith(first)
	}
	return err
}

// later reports whether the configuration of a was loaded after that of b.
func later(a, b seen) bool {
	if a.Configured.Equal(b.Configured) {
		return a.id > b.id
	}
	return a.Configured.After(b.Configured)
}

// DeclareLost makes the first key of a configuration the one that instances seal with,
// in place of one that is lost. What that one sealed can never be read again.
func DeclareLost(ctx context.Context, store Store, version string, c *Configuration, key string, now time.Time) error {
	i := New(store, version, func() time.Time { return now })
	all, err := i.announce(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = i.Leave(context.WithoutCancel(ctx)) }()
	_, others := i.split(all)
	for _, other := range others {
		if slices.Contains(other.Keys, key) {
			return fmt.Errorf("the key %s is not lost: instance %s has it", key, other.id)
		}
	}
	changed, err := reseal.Change(ctx, store, key, c.Ring.IDs()[0], now)
	if err == nil && !changed {
		err = fmt.Errorf("what is stored is not sealed with the key %q", key)
	}
	return err
}
