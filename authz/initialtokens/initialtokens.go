package initialtokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// Prefix begins the tokens, for scanners that look for leaked ones.
	Prefix = "mcpit_"
	// most is how many a site can have: all of them are one value.
	most    = 200
	maxUses = 1_000_000
)

// Token is one of them, without what its holder has.
type Token struct {
	Name      string
	CreatedAt time.Time
	ExpiresAt time.Time // zero for never
	// Uses is how many registrations it is still good for; nil for any number.
	Uses *int
}

// kept is how a token is stored. Times are by the store's clock. Its JSON is in
// databases.
type kept struct {
	Name      string       `json:"name"`
	Hash      storage.Hash `json:"hash"`
	CreatedAt time.Time    `json:"created_at"`
	ExpiresAt time.Time    `json:"expires_at,omitzero"`
	Uses      *int         `json:"uses,omitempty"`
}

// ended reports whether it is good for nothing any more.
func (k *kept) ended(now time.Time) bool {
	return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) || k.Uses != nil && *k.Uses <= 0
}

// ErrUnknown: the site has no token of this name.
var ErrUnknown = errors.New("initialtokens: there is no initial access token of this name")

// Refused is why a token is not made, in words for an operator.
type Refused struct {
	Text string
	// Conflict tells that it is because of what there is already.
	Conflict bool
}

func (r *Refused) Error() string { return r.Text }

// Store keeps the tokens.
type Store interface {
	SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error)
	ReplaceSiteValue(ctx context.Context, v storage.SiteValue, replaces string, now time.Time) (storage.Verdict, error)
}

// Tokens are the initial access tokens of a site.
type Tokens struct {
	Issuer string
	Store  Store
	Events *event.Recorder
	Now    func() time.Time
}

// read returns those that are good, and the text that they came from.
func (ts *Tokens) read(ctx context.Context) (all []kept, text string, err error) {
	v, err := ts.Store.SiteValue(ctx, ts.Issuer, storage.InitialTokensName, ts.Now())
	if errors.Is(err, storage.ErrNotFound) {
		return nil, "", nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(v.Text), &all)
	}
	if err != nil {
		return nil, "", oauth.Unavailable(err)
	}
	now := ts.storeNow()
	return slices.DeleteFunc(all, func(k kept) bool { return k.ended(now) }), v.Text, nil
}

// change replaces what there is by what f makes of it. f may run again.
func (ts *Tokens) change(ctx context.Context, f func([]kept) ([]kept, error)) error {
	for {
		all, before, err := ts.read(ctx)
		if err != nil {
			return err
		}
		if all, err = f(all); err != nil {
			return err
		}
		if all == nil {
			all = []kept{} // a value has some text
		}
		text, err := json.Marshal(all)
		if err != nil {
			return err
		}
		v, err := ts.Store.ReplaceSiteValue(ctx, storage.SiteValue{Issuer: ts.Issuer, Name: storage.InitialTokensName, Text: string(text)}, before, ts.Now())
		if err != nil {
			return oauth.Unavailable(err)
		}
		if v == storage.OK {
			return nil
		}
	}
}

func (ts *Tokens) storeNow() time.Time { return storage.NowOf(ts.Store, ts.Now)() }

// told returns a token as operators see it, by this clock.
func (ts *Tokens) told(k kept) Token {
	ahead := storage.AheadOf(ts.Store)()
	t := Token{Name: k.Name, CreatedAt: k.CreatedAt.Add(-ahead), ExpiresAt: k.ExpiresAt, Uses: k.Uses}
	if !t.ExpiresAt.IsZero() {
		t.ExpiresAt = t.ExpiresAt.Add(-ahead)
	}
	return t
}

// Create makes a token and returns it: it is told this once, and never kept. It is
// good until expires, zero for ever, and for so many registrations, 0 for any number.
func (ts *Tokens) Create(ctx context.Context, name string, expires time.Time, uses int) (t Token, secret string, err error) {
	switch clean, err := identity.CleanName(name); {
	case err != nil || clean != name || strings.Contains(name, "/") || strings.Trim(name, ".") == "":
		return t, "", &Refused{Text: fmt.Sprintf("%q cannot be the name of a token; use 1 to %d visible characters, without / and without space at the ends", name, identity.MaxName)}
	case !expires.IsZero() && !expires.After(ts.Now()):
		return t, "", &Refused{Text: "the token would expire in the past; name a time that is still to come"}
	case uses < 0 || uses > maxUses:
		return t, "", &Refused{Text: fmt.Sprintf("uses is how many clients may register with it, from 1 to %d; leave it out for any number", maxUses)}
	}
	secret = oauth.NewSecret(Prefix)
	made := kept{Name: name, Hash: storage.HashOf(secret), CreatedAt: ts.storeNow().UTC()}
	if !expires.IsZero() {
		made.ExpiresAt = expires.Add(storage.AheadOf(ts.Store)()).UTC()
	}
	if uses > 0 {
		made.Uses = &uses
	}
	err = ts.change(ctx, func(all []kept) ([]kept, error) {
		switch {
		case slices.ContainsFunc(all, func(k kept) bool { return k.Name == name }):
			return nil, &Refused{Text: "there is an initial access token " + name + " already; choose another name, or delete it first", Conflict: true}
		case len(all) >= most:
			return nil, &Refused{Text: fmt.Sprintf("there are %d initial access tokens; delete some that nobody needs", len(all)), Conflict: true}
		}
		return append(all, made), nil
	})
	if err != nil {
		return Token{}, "", err
	}
	ts.record(ctx, event.InitialTokenMade, "made", name)
	return ts.told(made), secret, nil
}

// List returns those that are good, in the order in which they were made.
func (ts *Tokens) List(ctx context.Context) ([]Token, error) {
	all, _, err := ts.read(ctx)
	if err != nil {
		return nil, err
	}
	tokens := make([]Token, len(all))
	for i, k := range all {
		tokens[i] = ts.told(k)
	}
	return tokens, nil
}

// Delete ends a token. Who registered with it stays registered.
func (ts *Tokens) Delete(ctx context.Context, name string) error {
	err := ts.change(ctx, func(all []kept) ([]kept, error) {
		left := slices.DeleteFunc(slices.Clone(all), func(k kept) bool { return k.Name == name })
		if len(left) == len(all) {
			return nil, ErrUnknown
		}
		return left, nil
	})
	if err == nil {
		ts.record(ctx, event.InitialTokenDeleted, "deleted", name)
	}
	return err
}

// Subject is what events call the token of a name.
func Subject(name string) string { return "initial_access_token:" + name }

func (ts *Tokens) record(ctx context.Context, kind event.Kind, reason, name string) {
	ts.Events.Record(ctx, event.Event{Kind: kind, By: event.ByOperator, Reason: reason, Person: Subject(name)})
}

// Check returns the name of the token that a client presents, or "" if it is none
// that is good. It takes no use of it.
func (ts *Tokens) Check(ctx context.Context, secret string) (name string, err error) {
	if !strings.HasPrefix(secret, Prefix) { // nothing for the store
		return "", nil
	}
	all, _, err := ts.read(ctx)
	if err != nil {
		return "", err
	}
	if i := find(all, secret); i >= 0 {
		return all[i].Name, nil
	}
	return "", nil
}

// Use takes one use of a token, and returns its name; "" if it is not good any more.
// One that is good for any number of registrations is left as it is.
func (ts *Tokens) Use(ctx context.Context, secret string) (name string, err error) {
	all, _, err := ts.read(ctx)
	if err != nil {
		return "", err
	}
	i := find(all, secret)
	if i < 0 || all[i].Uses == nil {
		return nameAt(all, i), nil
	}
	err = ts.change(ctx, func(all []kept) ([]kept, error) {
		i := find(all, secret)
		if name = nameAt(all, i); name == "" {
			return nil, ErrUnknown
		}
		if all[i].Uses != nil {
			all[i].Uses = new(*all[i].Uses - 1)
		}
		return all, nil
	})
	if errors.Is(err, ErrUnknown) {
		return "", nil
	}
	return name, err
}

func nameAt(all []kept, i int) string {
	if i < 0 {
		return ""
	}
	return all[i].Name
}

// find returns where the token is, -1 if nowhere. All are compared, each in constant
// time.
func find(all []kept, secret string) int {
	h, found := storage.HashOf(secret), -1
	for i := range all {
		if all[i].Hash.Equal(h) {
			found = i
		}
	}
	return found
}
