package persons

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// Store keeps people, and what they have.
type Store interface {
	storage.AuthStore
	storage.SessionStore
	storage.PersonStore
}

// Deps is what people are kept with.
type Deps struct {
	Store Store
	// Left is called before a person ends by what their provider says, because the
	// configuration does not let them in, or because they have no grant and no browser
	// session; nil if there is nothing else of theirs.
	Left func(ctx context.Context, subject string) error
	// Cache forgets the tokens of people who end.
	Cache *tokens.Cache
	// Keys seal what renews people.
	Keys *seal.Keyring
	// SessionLifetime is how long a browser can stay signed in.
	SessionLifetime time.Duration
	Events          *event.Recorder
	Now             func() time.Time
}

// Persons are the people of one site.
type Persons struct {
	cfg     *config.Site
	deps    Deps
	outages outages
}

// New returns the people of the site in the store.
func New(cfg *config.Site, deps Deps) *Persons {
	return &Persons{cfg: cfg, deps: deps}
}

// flowLifetime is more than a person can take to approve.
const flowLifetime = time.Hour

// lastUse returns until when anything can rest on a login.
func (ps *Persons) lastUse(login time.Time) time.Time {
	return login.Add(ps.deps.SessionLifetime + flowLifetime + time.Duration(ps.cfg.AbsoluteGrantLifetime))
}

// dueIn returns in how long a person is to be renewed: early enough to try again
// before RenewEvery has passed, and not all who signed in together at once.
func dueIn(m *identity.Method) time.Duration {
	return m.RenewEvery*5/8 + rand.N(m.RenewEvery/8)
}

// provedEvery is which part of Recheck passes before a visit is written down
// again: a person who looks around costs no more than that.
const provedEvery = 24

// ProvedAgain notes that another handler authenticated a person just now, for the
// request at hand. What they approved is good from then on.
func (ps *Persons) ProvedAgain(ctx context.Context, id storage.Identity) error {
	recheck := ps.cfg.SignIn.Recheck(id)
	if recheck == 0 {
		return nil
	}
	now := ps.deps.Now()
	last, err := ps.LastProved(ctx, id)
	if err != nil || now.Sub(last) < recheck/provedEvery {
		return err
	}
	_, _, err = ps.deps.Store.SavePerson(ctx, storage.PersonLogin{Person: storage.Person{
		Issuer: ps.cfg.Issuer, Subject: id.Subject, Kind: id.Kind, Name: id.Name, Proof: id.Proof, ID: cryptorand.Text(),
		SignedInAt: now, VerifiedAt: now, ExpiresAt: now.Add(max(recheck, time.Duration(ps.cfg.AbsoluteGrantLifetime))),
	}}, now)
	if err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}

// LastProved returns when ProvedAgain last wrote that down; zero for never.
func (ps *Persons) LastProved(ctx context.Context, id storage.Identity) (time.Time, error) {
	p, err := ps.deps.Store.Person(ctx, ps.cfg.Issuer, id.Subject, ps.deps.Now())
	switch {
	case err == nil:
		return p.VerifiedAt, nil
	case errors.Is(err, storage.ErrNotFound):
		return ps.lastProvedBefore(ctx, id)
	}
	return time.Time{}, oauth.Unavailable(err)
}

// lastProvedBefore is LastProved where an earlier version wrote it down.
func (ps *Persons) lastProvedBefore(ctx context.Context, id storage.Identity) (time.Time, error) {
	v, err := ps.deps.Store.SiteValue(ctx, ps.cfg.Issuer, "proved "+id.Subject, ps.deps.Now())
	if errors.Is(err, storage.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, oauth.Unavailable(err)
	}
	last, err := time.Parse(time.RFC3339Nano, v.Text)
	if err != nil {
		return time.Time{}, oauth.Unavailable(err)
	}
	return last, nil
}

// sessionName is the site value that tells whose a session at a provider is.
func sessionName(kind, session string) string {
	h := storage.HashOf(session)
	return "session at " + kind + " " + base64.RawURLEncoding.EncodeToString(h[:])
}
