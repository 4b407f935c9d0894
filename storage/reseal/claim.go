package reseal

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const claimName = "first encryption key"

// claim is what processes that share a store agree on.
type claim struct {
	First string    `json:"first"` // the key's ID
	Since time.Time `json:"since"` // by the store's clock: other processes reckon with it
}

// claim says, the first time, that this ring's first key seals from now on, and later
// only looks whether that still holds.
func (r *Resealer) claim(ctx context.Context) (superseded bool, since time.Time, err error) {
	now, first := r.now(), r.ring.Sealing()
	c, text, err := claimed(ctx, r.store, now)
	if err != nil {
		return false, since, err
	}
	if c.First == first || r.claimed && c.First != "" {
		r.claimed = true
		return c.First != first, c.Since, nil
	}
	replaced, err := claimFor(ctx, r.store, first, text, now)
	if err == nil && !replaced {
		err = errors.New("reseal: another process has just said which encryption key is the first")
	}
	r.claimed = err == nil
	return false, r.storeNow(), err
}

// claimed returns what is stored, and its text; nothing if nobody claimed yet.
func claimed(ctx context.Context, store Store, now time.Time) (c claim, text string, err error) {
	stored, err := store.SiteValue(ctx, "", claimName, now)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return c, "", err
	}
	if stored.Text != "" && json.Unmarshal([]byte(stored.Text), &c) != nil {
		c = claim{}
	}
	return c, stored.Text, nil
}

// claimFor stores that a key seals from now on, if the text is still what is stored.
func claimFor(ctx context.Context, store Store, key, text string, now time.Time) (bool, error) {
	since := now.Add(storage.AheadOf(store)())
	next, err := json.Marshal(claim{key, since.UTC().Truncate(time.Second)})
	if err != nil {
		return false, err
	}
	verdict, err := store.ReplaceSiteValue(ctx, storage.SiteValue{Name: claimName, Text: string(next)}, text, now)
	return err == nil && verdict == storage.OK, err
}

// Agree returns the name of the key that all processes on a store seal with. If they
// have none yet, it is the one that is proposed, or what another process was faster
// to propose.
func Agree(ctx context.Context, store Store, proposed string, now time.Time) (string, error) {
	for range 3 {
		c, text, err := claimed(ctx, store, now)
		if err != nil || c.First != "" {
			return c.First, err
		}
		if _, err := claimFor(ctx, store, proposed, text, now); err != nil {
			return "", err
		}
	}
	return "", errors.New("reseal: the processes on the store do not agree on an encryption key")
}

// Change makes another key the one that all processes on a store seal with, if they
// still agree on the one before. It reports whether it did.
func Change(ctx context.Context, store Store, before, next string, now time.Time) (bool, error) {
	c, text, err := claimed(ctx, store, now)
	if err != nil || c.First != before {
		return false, err
	}
	return claimFor(ctx, store, next, text, now)
}
