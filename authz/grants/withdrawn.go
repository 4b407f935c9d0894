package grants

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// What an operator withdraws from the configuration does not pass any more. It
// also must not come back to life when the operator gives it back, perhaps to
// somebody else: the grants end for good, and so do the pending flows and browser
// sessions of who was withdrawn. So a site keeps in mind what the
// configuration before had, across restarts.

// Withdrawals ends what people approved with what the operator took out of the
// configuration of a site.
type Withdrawals struct {
	grants   *Grants
	sessions storage.SessionStore
	mu       sync.Mutex // held while what was withdrawn is being ended
	began    time.Time  // when this configuration was loaded, or last changed
}

// NewWithdrawals returns what ends grants, and sessions in their store, that rest
// on what the configuration does not have any more.
func NewWithdrawals(grants *Grants, sessions storage.SessionStore) *Withdrawals {
	return &Withdrawals{grants: grants, sessions: sessions, began: grants.now()}
}

// standing is what approvals rest on in a configuration, as the site's value of
// that name has it. Its JSON is in databases.
type standing struct {
	Methods []string                   `json:"kinds"`
	Listed  map[string]identity.Listed `json:"keys"` // by subject
	Clients []string                   `json:"clients"`
}

const (
	standingValue = "standing"
	// endingAtOnce is how many grants are being ended at a time: their commits
	// to disk are shared.
	endingAtOnce = 64
	grantsPage   = 1000
)

func (w *Withdrawals) standing() standing {
	methods := w.grants.cfg.SignIn
	s := standing{Methods: methods.Bases(), Listed: methods.Listed()}
	for _, c := range w.grants.cfg.Clients {
		s.Clients = append(s.Clients, c.ID)
	}
	slices.Sort(s.Clients)
	return s
}

// End ends what people approved with what this configuration has no
// more: a listed identity that was removed, has another proof or may use fewer
// servers, a way to sign in or its proof, a client that the operator named. It is for the configuration
// that serves, never for one that was refused. Where nothing was withdrawn it
// costs one read.
func (w *Withdrawals) End(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end(ctx)
}

func (w *Withdrawals) end(ctx context.Context) error {
	now := w.standing()
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	value, err := w.grants.store.SiteValue(ctx, w.grants.cfg.Issuer, standingValue, w.grants.now())
	switch {
	case errors.Is(err, storage.ErrNotFound): // of an earlier release, or new
		err = w.endAllWithdrawn(ctx, nil)
	case err != nil:
		return oauth.Unavailable(err)
	case value.Text == string(text):
		return nil
	default:
		err = w.endSince(ctx, value.Text, now)
	}
	if err != nil {
		return err
	}
	if err := w.grants.store.PutSiteValue(ctx, storage.SiteValue{Issuer: w.grants.cfg.Issuer, Name: standingValue, Text: string(text)}); err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}

// endSince ends what was withdrawn since the configuration that text describes.
func (w *Withdrawals) endSince(ctx context.Context, text string, now standing) error {
	var before standing
	if err := json.Unmarshal([]byte(text), &before); err != nil {
		return oauth.Unavailable(err)
	}
	for _, subject := range slices.Sorted(maps.Keys(before.Listed)) {
		if !now.Listed[subject].Covers(before.Listed[subject]) {
			if err := w.endWithdrawnOf(ctx, subject); err != nil {
				return err
			}
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(now.Listed)) {
		if !before.Listed[subject].Covers(now.Listed[subject]) {
			if err := w.endEarlier(ctx, subject, before.Listed[subject]); err != nil {
				return err
			}
		}
	}
	clients := missing(before.Clients, now.Clients)
	if len(clients) == 0 && len(missing(before.Methods, now.Methods)) == 0 {
		return nil
	}
	return w.endAllWithdrawn(ctx, clients)
}

// endEarlier ends what a person who was listed, or may use more servers, has from
// before that: a request that began under a still earlier configuration, which
// listed them too, could finish when they were withdrawn.
func (w *Withdrawals) endEarlier(ctx context.Context, subject string, before identity.Listed) error {
	grants, err := w.grants.List(ctx, subject)
	if err != nil {
		return err
	}
	return w.endWhere(ctx, grants, func(g storage.Grant) bool {
		could := func(s *config.Server) bool {
			return before.Servers == nil || slices.Contains(before.Servers, s.Configured().ID)
		}
		return g.CreatedAt.Before(w.began) &&
			(g.Identity.Proof != before.Proof || slices.ContainsFunc(w.grants.policy.ServersAt(g.Resources), func(s *config.Server) bool { return !could(s) }))
	})
}

// missing returns what is in before and not in now.
func missing(before, now []string) []string {
	return slices.DeleteFunc(slices.Clone(before), func(s string) bool { return slices.Contains(now, s) })
}

// endWithdrawnOf ends what a listed person approved or began with what was
// withdrawn from them.
func (w *Withdrawals) endWithdrawnOf(ctx context.Context, subject string) error {
	grants, err := w.grants.List(ctx, subject)
	if err != nil {
		return err
	}
	if err := w.endUnfinished(ctx, subject); err != nil {
		return err
	}
	return w.endWhere(ctx, grants, w.withdrawn)
}

// endUnfinished ends the pending flows and browser sessions of a subject.
func (w *Withdrawals) endUnfinished(ctx context.Context, subject string) error {
	if err := w.grants.store.EndFlows(ctx, w.grants.cfg.Issuer, subject, w.grants.now()); err != nil {
		return oauth.Unavailable(err)
	}
	if err := w.sessions.DeleteBrowserSessions(ctx, w.grants.cfg.Issuer, subject); err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}

// endAllWithdrawn looks at every grant, and ends those that are no longer
// valid or belong to one of the clients.
func (w *Withdrawals) endAllWithdrawn(ctx context.Context, clients []string) error {
	for after := ""; ; {
		grants, next, err := w.grants.store.Grants(ctx, after, grantsPage, w.grants.now())
		if err != nil {
			return oauth.Unavailable(err)
		}
		left := map[string]bool{}
		for _, g := range grants {
			if g.Issuer == w.grants.cfg.Issuer && !w.grants.policy.Allows(g.Identity) {
				left[g.Identity.Subject] = true
			}
		}
		for subject := range left {
			if err := w.endUnfinished(ctx, subject); err != nil {
				return err
			}
		}
		err = w.endWhere(ctx, grants, func(g storage.Grant) bool {
			return g.Issuer == w.grants.cfg.Issuer && (w.withdrawn(g) || slices.Contains(clients, g.ClientID))
		})
		if err != nil || next == "" {
			return err
		}
		after = next
	}
}

// withdrawn reports whether what a grant rests on is not in the configuration
// any more, be it for one of its servers: with a smaller one the client comes
// back when its person signs in again. A server that left the configuration
// withdraws nothing.
func (w *Withdrawals) withdrawn(g storage.Grant) bool {
	return !w.grants.policy.Allows(g.Identity) ||
		slices.ContainsFunc(w.grants.policy.ServersAt(g.Resources), func(s *config.Server) bool { return !w.grants.policy.MayUse(g.Identity, s) })
}

// endWhere ends the grants that are as it says.
func (w *Withdrawals) endWhere(ctx context.Context, grants []storage.Grant, ends func(storage.Grant) bool) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(endingAtOnce)
	for _, g := range grants {
		if !ends(g) {
			continue
		}
		group.Go(func() error {
			return w.grants.Revoke(ctx, w.grants.About(&g, event.Event{Reason: "withdrawn", By: event.ByOperator}))
		})
	}
	return group.Wait()
}
