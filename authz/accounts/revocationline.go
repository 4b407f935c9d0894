package accounts

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

const (
	// revocationsAtOnce bounds how many requests a provider gets side by side.
	revocationsAtOnce = 4
	// linePatience is how long an entry waits for its turn at a provider. What
	// waits longer comes up again in the store's queue.
	linePatience = 30 * time.Second
)

// revocationLines has a line for each provider that is to be told something:
// one that hangs keeps nobody else waiting. What was made just now goes first.
type revocationLines struct {
	mu         sync.Mutex
	byEndpoint map[string]*revocationLine
}

type revocationLine struct {
	entries []lineEntry
	workers int
}

type lineEntry struct {
	revocation storage.ProviderRevocation
	opened     secrets
	since      time.Time
	turn       *revocationTurn // nil if nobody waits
}

// revocationTurn is a set of entries that somebody waits for.
type revocationTurn struct {
	pending sync.WaitGroup
	mu      sync.Mutex          // guards what follows
	err     error               // of the store
	silent  map[string]struct{} // endpoints that did not answer in this turn
}

// noteUnanswered notes that an endpoint did not answer.
func (t *revocationTurn) noteUnanswered(endpoint string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.silent == nil {
		t.silent = map[string]struct{}{}
	}
	t.silent[endpoint] = struct{}{}
}

func (t *revocationTurn) unanswered(endpoint string) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, silent := t.silent[endpoint]
	return silent
}

func (t *revocationTurn) finish(err error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.err = errors.Join(t.err, err)
	t.mu.Unlock()
	t.pending.Done()
}

// wait returns the store's errors when everything was told or left for later.
func (t *revocationTurn) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { t.pending.Wait(); close(done) }()
	select {
	case <-done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// revokeNow tells a provider without waiting for what others want of it. Where
// that is not possible, the entry comes up again in the store's queue.
func (rv *revoker) revokeNow(ctx context.Context, r *storage.ProviderRevocation) {
	rv.enqueue(ctx, *r, nil)
}

// enqueue puts an entry into its provider's line: at the end if it belongs to a
// turn, else at the front.
func (rv *revoker) enqueue(ctx context.Context, r storage.ProviderRevocation, turn *revocationTurn) {
	ctx = context.WithoutCancel(ctx)
	e := lineEntry{revocation: r, since: rv.deps.Now(), turn: turn}
	if turn != nil {
		turn.pending.Add(1)
	}
	if err := rv.open(r.Secret, &e.opened, sealed.Revocation(r.Issuer, r.Server, r.ID)...); err != nil {
		turn.finish(rv.endRevocation(ctx, &r, err))
		return
	}
	lines, endpoint := &rv.lines, e.opened.Binding.RevocationEndpoint
	if turn.unanswered(endpoint) {
		turn.finish(nil)
		return
	}
	lines.mu.Lock()
	defer lines.mu.Unlock()
	line := lines.byEndpoint[endpoint]
	if line == nil {
		line = &revocationLine{}
	}
	if line.workers < revocationsAtOnce {
		if !rv.deps.Shared.revocations.begin() {
			turn.finish(nil) // the process ends
			return
		}
		line.workers++
		go rv.serveLine(ctx, endpoint, line)
	}
	at := len(line.entries)
	if turn == nil {
		at = 0
	}
	line.entries = slices.Insert(line.entries, at, e)
	if lines.byEndpoint == nil {
		lines.byEndpoint = map[string]*revocationLine{}
	}
	lines.byEndpoint[endpoint] = line
}

// serveLine tells a provider what is in its queue. After one request that got
// no answer, the others are left for later.
func (rv *revoker) serveLine(ctx context.Context, endpoint string, line *revocationLine) {
	defer rv.deps.Shared.revocations.Done()
	for answers := true; ; {
		e, ok := rv.nextEntry(endpoint, line, answers)
		if !ok {
			return
		}
		var err error
		if answers, err = rv.revoke(ctx, &e.revocation, e.opened); err != nil && e.turn == nil {
			rv.storeFailed(ctx, e.revocation.Server, "telling a provider what to revoke", err)
		}
		if !answers {
			e.turn.noteUnanswered(endpoint)
		}
		e.turn.finish(err)
	}
}

// nextEntry returns the next entry, unless the worker is not needed any more.
func (rv *revoker) nextEntry(endpoint string, line *revocationLine, answers bool) (lineEntry, bool) {
	lines := &rv.lines
	lines.mu.Lock()
	defer lines.mu.Unlock()
	now, closing := rv.deps.Now(), rv.deps.Shared.isClosing()
	for len(line.entries) > 0 {
		e := line.entries[0]
		line.entries = line.entries[1:]
		left := closing && e.turn != nil // what was disconnected just now is told still
		if answers && !left && now.Sub(e.since) <= linePatience {
			return e, true
		}
		e.turn.finish(nil)
	}
	if line.workers--; line.workers == 0 {
		delete(lines.byEndpoint, endpoint)
	}
	return lineEntry{}, false
}

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
