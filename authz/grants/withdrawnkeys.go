package grants

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// storedKeysValue is the name of what a site keeps in mind of the virtual keys in
// the store: identity.Listed, by subject. It is apart from what the configuration
// lists, which processes on one store may have different ones of for a while.
const storedKeysValue = "stored virtual keys"

// EndChanged is End after something of the configuration changed while it serves,
// such as a key in a file.
func (w *Withdrawals) EndChanged(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began = w.grants.now()
	return w.end(ctx)
}

// EndKeys ends what people approved with virtual keys in the store that are good
// no more, or for fewer servers. A key that is given back has another proof, so
// what was missed is not good either. Where nothing was withdrawn it costs two
// reads.
//
// look reads the keys anew. It is called after what the site keeps in mind was
// read: else a key that another process has made meanwhile, and the site keeps in
// mind already, would seem to be withdrawn to a process that does not know it yet.
func (w *Withdrawals) EndKeys(ctx context.Context, look func(context.Context) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		done, err := w.endKeys(ctx, look)
		if done || err != nil {
			return err
		}
	}
}

// endKeys is EndKeys until another process changes what the site keeps in mind:
// then it is not done.
func (w *Withdrawals) endKeys(ctx context.Context, look func(context.Context) error) (done bool, err error) {
	before := map[string]identity.Listed{}
	value, err := w.grants.store.SiteValue(ctx, w.grants.cfg.Issuer, storedKeysValue, w.grants.now())
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return false, oauth.Unavailable(err)
	}
	if err == nil {
		if err := json.Unmarshal([]byte(value.Text), &before); err != nil {
			return false, oauth.Unavailable(err)
		}
	}
	if err := look(ctx); err != nil {
		return false, err
	}
	now := w.grants.cfg.Keys.Set().Listed(true)
	for _, subject := range slices.Sorted(maps.Keys(before)) {
		if now[subject].Covers(before[subject]) {
			continue
		}
		_, stays := now[subject]
		if err := w.endOfKey(ctx, subject, stays); err != nil {
			return false, err
		}
	}
	text, err := json.Marshal(now)
	if err != nil || string(text) == value.Text || value.Text == "" && len(now) == 0 {
		return true, err
	}
	fresh := storage.SiteValue{Issuer: w.grants.cfg.Issuer, Name: storedKeysValue, Text: string(text)}
	verdict, err := w.grants.store.ReplaceSiteValue(ctx, fresh, value.Text, w.grants.now())
	if err != nil {
		return false, oauth.Unavailable(err)
	}
	return verdict == storage.OK, nil
}

// endOfKey ends what was approved with what was withdrawn of a key. Where its
// successor stays, so do the sessions and flows that began with that.
func (w *Withdrawals) endOfKey(ctx context.Context, subject string, stays bool) error {
	if !stays {
		return w.endWithdrawnOf(ctx, subject)
	}
	grants, err := w.grants.List(ctx, subject)
	if err != nil {
		return err
	}
	return w.endWhere(ctx, grants, w.withdrawn)
}
