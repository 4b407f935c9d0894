// Package sealedvalue keeps one sealed value of a site in the store, for restarts and
// for all instances on it: whoever changes it changes what there is by then.
//
// It knows nothing of what is inside, remembers nothing, and decides nothing.
package sealedvalue

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// attempts is how often a change is tried that another instance was faster with.
const attempts = 8

var (
	// ErrUnreadable: what the store has was changed there, or sealed with a key that is
	// not there any more.
	ErrUnreadable = errors.New("a value in the store cannot be decrypted: it was changed, or its encryption_key is missing")
	// ErrBusy: nothing was changed, as somebody else was faster each time.
	ErrBusy = errors.New("other instances change a value in the store all the time")
)

// Store is what of a store is needed.
type Store interface {
	SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error)
	ReplaceSiteValue(ctx context.Context, v storage.SiteValue, replaces string, now time.Time) (storage.Verdict, error)
}

// Place is where values are kept, and what seals them.
type Place struct {
	Issuer string
	Store  Store
	Keys   *seal.Keyring
	Now    func() time.Time
}

// Value is one value. Its Name and Context are those of package sealed.
type Value struct {
	Place
	Name    string
	Context []string
	// Lifetime is how long it is kept after a change; 0 for ever.
	Lifetime time.Duration
}

// Read returns what is kept, nil if nothing is. An error is ErrUnreadable, or the
// store's.
func (v *Value) Read(ctx context.Context) ([]byte, error) {
	plain, _, err := v.read(ctx)
	return plain, err
}

func (v *Value) read(ctx context.Context) (plain []byte, text string, err error) {
	stored, err := v.Store.SiteValue(ctx, v.Issuer, v.Name, v.Now())
	if errors.Is(err, storage.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	box, err := base64.RawURLEncoding.DecodeString(stored.Text)
	if err != nil {
		return nil, stored.Text, ErrUnreadable
	}
	if plain, err = v.Keys.Open(box, v.Context...); err != nil {
		return nil, stored.Text, ErrUnreadable
	}
	return plain, stored.Text, nil
}

// Update puts in the place of what is kept what change makes of it; nil leaves it as
// it is. change is told if what is kept is unreadable, and is called again for what
// somebody else kept meanwhile. What it fails with is returned.
func (v *Value) Update(ctx context.Context, change func(kept []byte, unreadable bool) ([]byte, error)) error {
	for range attempts {
		kept, text, err := v.read(ctx)
		unreadable := errors.Is(err, ErrUnreadable)
		if err != nil && !unreadable {
			return err
		}
		next, err := change(kept, unreadable)
		if err != nil || next == nil {
			return err
		}
		now := v.Now()
		value := storage.SiteValue{Issuer: v.Issuer, Name: v.Name, Text: base64.RawURLEncoding.EncodeToString(v.Keys.Seal(next, v.Context...))}
		if v.Lifetime > 0 {
			value.ExpiresAt = now.Add(v.Lifetime)
		}
		verdict, err := v.Store.ReplaceSiteValue(ctx, value, text, now)
		if err != nil || verdict == storage.OK {
			return err
		}
	}
	return ErrBusy
}
