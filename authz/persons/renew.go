package persons

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

const (
	// perRead is how many people are taken at once, by one caller for leaseTime.
	perRead   = 32
	leaseTime = 2 * time.Minute
	// readsPerTurn bounds how many reads one turn makes.
	readsPerTurn = 64
	// atOnce bounds how many requests are made side by side.
	atOnce = 8
	// patience is how long a provider may take for an answer. All that are taken at
	// once have had theirs before their lease ends.
	patience = 15 * time.Second
	// retryIn is in how long a provider that gave no answer is asked again, at least;
	// and twice as long at most.
	retryIn = 30 * time.Second
	// storeTries is how often an answer is stored that the provider gives only once.
	storeTries = 4
)

// RenewDue asks identity providers about the people who are due, each person by one
// caller at a time, whatever the number of processes. It is to be called every few
// seconds. It returns failures of the store only: a provider that does not answer
// is asked again later.
func (ps *Persons) RenewDue(ctx context.Context) error {
	if !ps.renews() {
		return nil
	}
	t := newTurn(ps)
	for range readsPerTurn {
		now := ps.deps.Now()
		due, err := ps.deps.Store.DuePersons(ctx, ps.cfg.Issuer, perRead, now, now.Add(leaseTime))
		if err != nil || len(due) == 0 {
			return err
		}
		var group errgroup.Group
		group.SetLimit(atOnce)
		for _, p := range due {
			group.Go(func() error { return t.survive(ctx, p) })
		}
		if err := group.Wait(); err != nil || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// renews reports whether any method can renew people.
func (ps *Persons) renews() bool {
	for i := range ps.cfg.SignIn {
		if ps.cfg.SignIn[i].Renew != nil {
			return true
		}
	}
	return false
}

// renew asks about one person, whom this caller has to itself. After the end of ctx
// nobody is asked about any more.
func (t *turn) renew(ctx context.Context, p storage.Person) error {
	if ctx.Err() != nil {
		return nil
	}
	m := t.cfg.SignIn.Of(p.Kind)
	over, err := t.nothingLeft(ctx, p)
	switch {
	case err != nil:
		return err
	case over:
		return t.forget(ctx, p)
	case m == nil:
		return t.end(ctx, storage.PersonEnd{Subject: p.Subject, ID: p.ID, Revision: p.Revision}, event.Event{
			By: event.BySite, Reason: "not_configured", Identity: p.Kind, Detail: "Their way to sign in has left the configuration.",
		})
	case m.Renew == nil || p.Secret == nil:
		p.DueAt = time.Time{}
		return t.update(ctx, p)
	case t.silent(p.Kind):
		return t.postpone(ctx, p)
	}
	secret, err := t.deps.Keys.Open(p.Secret, sealed.Person(p)...)
	if err != nil {
		t.deps.Events.Record(ctx, event.Event{
			Kind: event.RecordDamaged, Reason: "person", Person: p.Subject, Identity: p.Kind, Detail: "They have to sign in again.", Err: err,
		})
		p.Secret, p.SecretSession, p.DueAt = nil, "", time.Time{}
		return t.update(ctx, p)
	}
	// The provider may count the secret as used from now on: neither the end of this
	// process nor of its configuration makes the answer get lost.
	ctx = context.WithoutCancel(ctx)
	renewed, err := ask(ctx, m, p, secret)
	switch {
	case errors.Is(err, identity.ErrEnded):
		return t.end(ctx, storage.PersonEnd{Subject: p.Subject, ID: p.ID, Revision: p.Revision}, event.Event{
			By: event.ByProvider, Reason: "refused_by_provider", Identity: p.Kind, Provider: m.Provider,
		})
	case err != nil:
		t.failed(ctx, m, err)
		next := p
		next.Secret = t.secretAfter(p, secret, renewed)
		next.DueAt = t.deps.Now().Add(retryIn + rand.N(retryIn))
		return t.store(ctx, p, next)
	}
	t.answered(ctx, m)
	if !t.cfg.SignIn.Valid(renewed.Identity) {
		return t.end(ctx, storage.PersonEnd{Subject: p.Subject, ID: p.ID, Revision: p.Revision}, event.Event{
			By: event.BySite, Reason: "not_allowed", Identity: p.Kind, Detail: "By what the identity provider says now, the configuration does not let them in.",
		})
	}
	next := p
	next.Secret = t.secretAfter(p, secret, renewed)
	next.Claims, next.VerifiedAt = renewed.Claims, t.deps.Now()
	next.DueAt = next.VerifiedAt.Add(dueIn(m))
	next.Name, next.SignOut = cmp.Or(renewed.Name, p.Name), t.hintAfter(p, renewed)
	return t.store(ctx, p, next)
}

// ask asks the provider about a person.
func ask(ctx context.Context, m *identity.Method, p storage.Person, secret []byte) (identity.Person, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	renewed, err := m.Renew(ctx, identity.Person{Identity: p.Identity(), Secret: secret, Session: p.SecretSession})
	if err == nil && !renewed.Same(p.Identity()) {
		err = errors.New("the answer is about somebody else")
	}
	return renewed, err
}

// secretAfter returns the sealed secret of a person whose secret was used.
func (t *turn) secretAfter(p storage.Person, used []byte, renewed identity.Person) []byte {
	secret := renewed.Secret
	if secret == nil {
		secret = used
	}
	if bytes.Equal(secret, used) && t.deps.Keys.Current(p.Secret) {
		return p.Secret
	}
	return t.deps.Keys.Seal(secret, sealed.Person(p)...)
}

// store keeps next in the place of p, also if the store fails for a moment: the
// provider gives its answer only once.
func (t *turn) store(ctx context.Context, p, next storage.Person) error {
	var err error
	for try := range storeTries {
		if try > 0 {
			time.Sleep(time.Second << (try - 1))
		}
		if err = t.keep(ctx, p, next); err == nil {
			return nil
		}
	}
	t.deps.Events.Record(ctx, event.Event{
		Kind: event.StoreFailed, Person: p.Subject, Identity: p.Kind, Detail: "keeping what an identity provider said of a person, who may have to sign in again", Err: err,
	})
	return err
}

// keep stores next in the place of p. If they signed in meanwhile, what they came
// back with is newer, and only a secret that was used up is replaced.
func (t *turn) keep(ctx context.Context, p, next storage.Person) error {
	for {
		_, verdict, err := t.deps.Store.UpdatePerson(ctx, next, t.deps.Now())
		if err != nil || verdict != storage.Changed {
			return err
		}
		current, err := t.deps.Store.Person(ctx, p.Issuer, p.Subject, t.deps.Now())
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if current.ID != p.ID || !t.sameSecret(current, p) {
			return nil
		}
		secret := next.Secret
		next = current
		next.Secret = secret
	}
}

// sameSecret reports whether a person still has the secret of before, perhaps
// sealed anew under another key.
func (t *turn) sameSecret(current, before storage.Person) bool {
	if bytes.Equal(current.Secret, before.Secret) {
		return true
	}
	a, errA := t.deps.Keys.Open(current.Secret, sealed.Person(current)...)
	b, errB := t.deps.Keys.Open(before.Secret, sealed.Person(before)...)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// nothingLeft reports whether a person has nothing here that is good for anything,
// so that nobody needs to know more of them.
func (t *turn) nothingLeft(ctx context.Context, p storage.Person) (bool, error) {
	if t.deps.Now().Before(p.SignedInAt.Add(t.deps.SessionLifetime + flowLifetime)) {
		return false, nil
	}
	grants, err := t.deps.Store.GrantsOf(ctx, p.Issuer, p.Subject, t.deps.Now())
	return len(grants) == 0, err
}

// forget removes a person who has nothing left.
func (t *turn) forget(ctx context.Context, p storage.Person) error {
	if err := t.left(ctx, p.Subject); err != nil {
		return err
	}
	_, _, err := t.endNow(ctx, storage.PersonEnd{Subject: p.Subject, ID: p.ID, Revision: p.Revision})
	return err
}

// postpone lets a person be due again soon.
func (t *turn) postpone(ctx context.Context, p storage.Person) error {
	p.DueAt = t.deps.Now().Add(retryIn + rand.N(retryIn))
	return t.update(ctx, p)
}

// update stores a person, unless somebody did meanwhile.
func (t *turn) update(ctx context.Context, p storage.Person) error {
	_, _, err := t.deps.Store.UpdatePerson(ctx, p, t.deps.Now())
	return err
}

// survive is renew. A panic is an error: nobody else would catch it, and it would
// end Caddy with all its sites.
func (t *turn) survive(ctx context.Context, p storage.Person) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("renewing a person panicked: %v", cause)
		}
	}()
	return t.renew(ctx, p)
}
