package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// leaverPatience is for how long the accounts of somebody who was ended are kept for
// them. That an identity provider refuses a person may mean that they have left, or
// only that they were away for longer than it remembers them.
const leaverPatience = 7 * 24 * time.Hour

// Left is called before a person ends by what an identity provider says, because the
// configuration does not let them in, or because nothing else of theirs is left. If
// they do not come back in time, their accounts end, here and at the providers.
func (cs *connections) Left(ctx context.Context, subject string) error {
	now := cs.deps.Now()
	has, err := cs.deps.Store.ConnectionsOf(ctx, cs.cfg.Issuer, subject, now)
	if err != nil || len(has) == 0 {
		return err
	}
	due := now.Add(leaverPatience)
	err = cs.deps.Store.PutSiteValue(ctx, storage.SiteValue{
		Issuer: cs.cfg.Issuer, Name: leaverName(subject), Text: "left", ExpiresAt: due.Add(revocationPatience),
	})
	if err == nil {
		err = cs.deps.Store.QueueRevocation(ctx, *cs.revoker.queued("", secrets{Person: subject, Left: true}, due))
	}
	if err != nil {
		return err
	}
	cs.deps.Events.Record(ctx, event.Event{
		Kind: event.PersonLeft, Person: subject, Count: len(has), Detail: "Unless they sign in again, they are disconnected, here and at the providers.",
	})
	return nil
}

// leaverName is the site value that tells when the accounts of a person end who left.
func leaverName(subject string) string { return "left " + subject }

// AccountsEndAt returns when the accounts of a person end unless they sign in again;
// zero if they are not to end.
func (st *site) AccountsEndAt(ctx context.Context, subject string) (time.Time, error) {
	now := st.deps.Now()
	_, err := st.deps.Store.Person(ctx, st.cfg.Issuer, subject, now)
	if !errors.Is(err, storage.ErrNotFound) {
		return time.Time{}, err
	}
	left, err := st.deps.Store.SiteValue(ctx, st.cfg.Issuer, leaverName(subject), now)
	if errors.Is(err, storage.ErrNotFound) {
		return time.Time{}, nil
	}
	return left.ExpiresAt.Add(-revocationPatience), err
}

// endLeaver ends the accounts of a person who was ended, unless they came back.
func (rv *revoker) endLeaver(ctx context.Context, r *storage.ProviderRevocation, subject string) error {
	now := rv.deps.Now()
	ends, err := rv.AccountsEndAt(ctx, subject)
	// Who came back and left again has another entry in the queue.
	switch {
	case err != nil:
		return err
	case ends.IsZero(), ends.After(now.Add(revocationStep)):
		return rv.deps.Store.EndRevocation(ctx, r.ID)
	}
	has, err := rv.deps.Store.ConnectionsOf(ctx, rv.cfg.Issuer, subject, now)
	for _, c := range has {
		err = errors.Join(err, rv.disconnect(ctx, c.Owner, c.Server))
	}
	if err != nil {
		return err
	}
	return rv.deps.Store.EndRevocation(ctx, r.ID)
}
