package signing

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

const (
	siteValue = sealed.SigningKeysName
	// freshFor is how long keys are used before the store is asked for those that
	// another instance made.
	freshFor = time.Minute
	// retryAfter is how long a store that failed is not asked again.
	retryAfter = 5 * time.Second
	// attempts bounds how often somebody else may have stored keys meanwhile.
	attempts = 8
)

// ErrSealed says that the signing keys are there, and cannot be read.
var ErrSealed = errors.New("signing: the signing keys in the store were sealed with another encryption_key; " +
	"configure that key again, behind the one that is there now; if it is lost, have new ones made: caddy mcp-oauth signing-keys renew")

// Keys are the signing keys of a site. They are made when they are first needed.
type Keys struct {
	issuer string
	plan   plan
	store  storage.AuthStore
	ring   *seal.Keyring
	events *event.Recorder
	now    func() time.Time
	// storeNow is by which keys begin and end to sign, for all processes alike.
	storeNow func() time.Time

	mu       sync.Mutex
	known    *keySet // nil until it was read
	text     string  // in which the store has it
	readAt   time.Time
	failedAt time.Time
	failure  error         // of the last attempt to read
	reads    atomic.Uint64 // attempts
}

// NewKeys returns the keys of a site. What the store has is sealed by the ring.
func NewKeys(cfg *config.Site, store storage.AuthStore, ring *seal.Keyring, events *event.Recorder, now func() time.Time) *Keys {
	return &Keys{
		issuer: cfg.Issuer, plan: plan{jose.SignatureAlgorithm(cfg.Signing.Algorithm), time.Duration(cfg.Signing.Rotate)},
		store: store, ring: ring, events: events, now: now, storeNow: storage.NowOf(store, now),
	}
}

// Sign returns the JWT of a type, with the claims of a JSON object, in compact
// form. The key is published until whatever was signed so is not good any more.
func (k *Keys) Sign(ctx context.Context, typ string, claims []byte, expires time.Time) (string, error) {
	jwk, err := k.signer(ctx, expires)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.plan.algorithm, Key: jwk}, new(jose.SignerOptions).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// signer returns the key for what is good until it expires.
func (k *Keys) signer(ctx context.Context, expires time.Time) (jose.JSONWebKey, error) {
	seen := k.reads.Load()
	k.mu.Lock()
	defer k.mu.Unlock()
	for range attempts {
		if err := k.refresh(ctx, seen); err != nil {
			return jose.JSONWebKey{}, err
		}
		at := k.known.signer(k.plan.algorithm, k.storeNow())
		if at < 0 { // it stopped since the keys were read
			k.readAt = time.Time{}
			continue
		}
		key := k.known.Keys[at]
		good := expires.Sub(k.now())
		if good <= key.Longest {
			return key.JWK, nil
		}
		longest := (good + time.Hour - 1).Truncate(time.Hour)
		if err := k.replace(ctx, k.known.withLongest(at, longest)); err != nil {
			return jose.JSONWebKey{}, err
		}
	}
	return jose.JSONWebKey{}, errContended
}

var errContended = errors.New("signing: others change the signing keys all the time")

// Published returns the key set that others verify with.
func (k *Keys) Published(ctx context.Context) ([]byte, error) {
	seen := k.reads.Load()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx, seen); err != nil {
		return nil, err
	}
	return k.known.published(k.storeNow())
}

// Overviews returns the keys that are published, oldest first.
func (k *Keys) Overviews(ctx context.Context) ([]Overview, error) {
	seen := k.reads.Load()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx, seen); err != nil {
		return nil, err
	}
	return k.known.overviews(k.storeNow()), nil
}

// Forget has the keys read anew before one is used again: another instance changed
// them. Those that are known may be worthless now, so they are not used meanwhile,
// whether or not the store can be read.
func (k *Keys) Forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.readAt = time.Time{}
}

// Renew makes a new key in place of all others, which are published no more: for
// keys that leaked, or that nobody can open. What they signed is good for nobody who
// verifies from then on, but for copies of the key set.
func (k *Keys) Renew(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for range attempts {
		v, err := k.store.SiteValue(ctx, k.issuer, siteValue, k.now())
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		k.text = v.Text
		next, err := k.plan.add(new(keySet), k.storeNow(), time.Hour, k.storeNow())
		if err != nil {
			return err
		}
		if err := k.replace(ctx, next); err != nil {
			return err
		}
		if k.known == next {
			k.failure = nil
			return nil
		}
	}
	return errContended
}

// refresh reads the keys unless that was done lately, and makes what is due.
// While the store fails, those that are known are good for a while. seen is how many
// reads there were when the caller began to wait: if the one that it waited for
// failed, it does not try again.
func (k *Keys) refresh(ctx context.Context, seen uint64) error {
	now := k.now()
	age := now.Sub(k.readAt)
	if k.known != nil && age >= 0 && age < freshFor {
		return nil
	}
	usable := k.known != nil && !k.readAt.IsZero() && age >= 0 && age < maxStale
	if since := now.Sub(k.failedAt); usable && k.failure != nil && since >= 0 && since < retryAfter {
		return nil
	}
	if !usable && k.failure != nil && k.reads.Load() != seen {
		return k.failure
	}
	err := k.read(ctx)
	if err == nil || ctx.Err() != nil { // the second says nothing about the store
		k.failure = nil
	} else {
		k.failure, k.failedAt = err, now
	}
	k.reads.Add(1)
	if err == nil {
		return nil
	}
	if !usable || errors.Is(err, ErrSealed) {
		return err
	}
	k.events.Record(ctx, event.Event{Kind: event.SigningKeysUnreadable, Detail: "Those that are known are used for a while.", Err: err})
	return nil
}

// read reads the keys, and has the store keep what is due.
func (k *Keys) read(ctx context.Context) error {
	first := k.known == nil
	for range attempts {
		set, err := k.stored(ctx)
		if err != nil {
			return err
		}
		next, err := k.plan.due(set, k.storeNow())
		if err != nil {
			return err
		}
		if next == set && (!first || k.hasCurrentSeal()) {
			k.known, k.readAt = set, k.now()
			return nil
		}
		if err := k.replace(ctx, next); err != nil {
			return err
		}
		if k.known != next {
			continue
		}
		if made := next.Keys[len(next.Keys)-1]; next != set {
			k.events.Record(ctx, event.Event{Kind: event.SigningKeyMade, By: event.BySite, Reason: made.JWK.Algorithm, Detail: made.JWK.KeyID})
		}
		return nil
	}
	return errContended
}

// stored returns the keys that the store has, none if it has none.
func (k *Keys) stored(ctx context.Context) (*keySet, error) {
	v, err := k.store.SiteValue(ctx, k.issuer, siteValue, k.now())
	if errors.Is(err, storage.ErrNotFound) {
		k.text = ""
		return new(keySet), nil
	}
	if err != nil {
		return nil, err
	}
	box, err := base64.RawURLEncoding.DecodeString(v.Text)
	if err != nil {
		return nil, fmt.Errorf("signing: the signing keys in the store are damaged: %w", err)
	}
	plain, err := k.ring.Open(box, sealed.SigningKeys(k.issuer)...)
	if err != nil {
		return nil, ErrSealed
	}
	set := new(keySet)
	if err := json.Unmarshal(plain, set); err != nil {
		return nil, errors.New("signing: the signing keys in the store are of another version of this program")
	}
	k.text = v.Text
	return set, nil
}

// hasCurrentSeal reports whether what the store has is sealed with the key that
// seals now, or there is nothing.
func (k *Keys) hasCurrentSeal() bool {
	box, err := base64.RawURLEncoding.DecodeString(k.text)
	return err == nil && (k.text == "" || k.ring.Current(box))
}

// replace stores keys in place of those that were read. If somebody else stored
// some meanwhile, it makes nothing known, and they are to be read.
func (k *Keys) replace(ctx context.Context, next *keySet) error {
	plain, err := json.Marshal(next)
	if err != nil {
		return err
	}
	text := base64.RawURLEncoding.EncodeToString(k.ring.Seal(plain, sealed.SigningKeys(k.issuer)...))
	now := k.now()
	verdict, err := k.store.ReplaceSiteValue(ctx, storage.SiteValue{Issuer: k.issuer, Name: siteValue, Text: text}, k.text, now)
	if err != nil {
		return err
	}
	if verdict != storage.OK {
		k.readAt = time.Time{}
		return nil
	}
	k.known, k.text, k.readAt = next, text, now
	return nil
}
