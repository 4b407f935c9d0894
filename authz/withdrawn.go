package authz

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// What an operator withdraws from the configuration does not pass any more. It
// also must not come back to life when the operator gives it back, perhaps to
// somebody else: its grants end for good. So a site keeps in mind what the
// configuration before had, across restarts.

// standing is what approvals rest on in a configuration.
type standing struct {
	Kinds   []string               `json:"kinds"`
	Keys    map[string]standingKey `json:"keys"` // by subject
	Clients []string               `json:"clients"`
}

// standingKey is what of a virtual key can be withdrawn.
type standingKey struct {
	Proof   string   `json:"proof"`
	Servers []string `json:"servers,omitempty"` // none means all
}

const (
	standingMemo = "standing"
	// endingAtOnce is how many grants are being ended at a time: their commits
	// to disk are shared.
	endingAtOnce = 64
	grantsPage   = 1000
)

func (as *AuthorizationServer) standing() standing {
	s := standing{Keys: map[string]standingKey{}}
	for _, kind := range as.cfg.Identities {
		s.Kinds = append(s.Kinds, string(kind))
	}
	for key := range as.cfg.VirtualKeys.All() {
		id := key.Identity()
		s.Keys[id.Subject] = standingKey{id.Proof, slices.Sorted(slices.Values(key.Servers))}
	}
	for _, c := range as.cfg.Clients {
		s.Clients = append(s.Clients, c.ID)
	}
	slices.Sort(s.Kinds)
	slices.Sort(s.Clients)
	return s
}

// EndWithdrawn ends what people approved with what this configuration has no
// more: a virtual key that was removed, replaced or may use fewer servers, a way
// to sign in, a client that the operator named. It is for the configuration
// that serves, never for one that was refused. Where nothing was withdrawn it
// costs one read.
func (as *AuthorizationServer) EndWithdrawn(ctx context.Context) error {
	now := as.standing()
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	memo, err := as.deps.Store.Memo(ctx, as.cfg.Issuer, standingMemo, as.deps.Now())
	switch {
	case errors.Is(err, storage.ErrNotFound): // of an earlier release, or new
		err = as.endAllWithdrawn(ctx, nil)
	case err != nil:
		return unavailable(err)
	case memo.Text == string(text):
		return nil
	default:
		err = as.endSince(ctx, memo.Text, now)
	}
	if err != nil {
		return err
	}
	if err := as.deps.Store.PutMemo(ctx, storage.Memo{Issuer: as.cfg.Issuer, Name: standingMemo, Text: string(text)}); err != nil {
		return unavailable(err)
	}
	return nil
}

// endSince ends what was withdrawn since the configuration that text describes.
func (as *AuthorizationServer) endSince(ctx context.Context, text string, now standing) error {
	var before standing
	if err := json.Unmarshal([]byte(text), &before); err != nil {
		return unavailable(err)
	}
	for _, subject := range slices.Sorted(maps.Keys(before.Keys)) {
		if !now.Keys[subject].covers(before.Keys[subject]) {
			if err := as.endWithdrawnOf(ctx, subject); err != nil {
				return err
			}
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(now.Keys)) {
		if !before.Keys[subject].covers(now.Keys[subject]) {
			if err := as.endEarlier(ctx, subject, before.Keys[subject]); err != nil {
				return err
			}
		}
	}
	clients := missing(before.Clients, now.Clients)
	if len(clients) == 0 && len(missing(before.Kinds, now.Kinds)) == 0 {
		return nil
	}
	return as.endAllWithdrawn(ctx, clients)
}

// covers reports whether a key is the same as another, and good for all that one is.
func (k standingKey) covers(other standingKey) bool {
	return k.Proof == other.Proof && (k.Servers == nil || other.Servers != nil && len(missing(other.Servers, k.Servers)) == 0)
}

// endEarlier ends what the holder of a key that was given, or may use more
// servers, has from before that: a request that began under a still earlier
// configuration, which had the key too, could finish when the key was withdrawn.
func (as *AuthorizationServer) endEarlier(ctx context.Context, subject string, before standingKey) error {
	grants, err := as.Grants(ctx, subject)
	if err != nil {
		return err
	}
	return as.endWhere(ctx, grants, func(g storage.Grant) bool {
		could := func(s Server) bool { return before.Servers == nil || slices.Contains(before.Servers, s.ID) }
		return g.CreatedAt.Before(as.began) &&
			(g.Identity.Proof != before.Proof || slices.ContainsFunc(as.serversOf(g.Resources), func(s Server) bool { return !could(s) }))
	})
}

// missing returns what is in before and not in now.
func missing(before, now []string) []string {
	return slices.DeleteFunc(slices.Clone(before), func(s string) bool { return slices.Contains(now, s) })
}

// endWithdrawnOf ends what the holder of a key approved or began with what was
// withdrawn of it.
func (as *AuthorizationServer) endWithdrawnOf(ctx context.Context, subject string) error {
	grants, err := as.Grants(ctx, subject)
	if err != nil {
		return err
	}
	if err := as.endPresence(ctx, subject); err != nil {
		return err
	}
	return as.endWhere(ctx, grants, as.withdrawn)
}

// endPresence ends the pending flows and browser sessions of a subject.
func (as *AuthorizationServer) endPresence(ctx context.Context, subject string) error {
	if err := as.deps.Store.EndFlows(ctx, as.cfg.Issuer, subject, as.deps.Now()); err != nil {
		return unavailable(err)
	}
	if err := as.deps.Store.DeleteBrowserSessions(ctx, as.cfg.Issuer, subject); err != nil {
		return unavailable(err)
	}
	return nil
}

// endAllWithdrawn looks at every grant, and ends those that do not stand or
// belong to one of the clients.
func (as *AuthorizationServer) endAllWithdrawn(ctx context.Context, clients []string) error {
	for after := ""; ; {
		grants, next, err := as.deps.Store.Grants(ctx, after, grantsPage, as.deps.Now())
		if err != nil {
			return unavailable(err)
		}
		left := map[string]bool{}
		for _, g := range grants {
			if g.Issuer == as.cfg.Issuer && !as.identityStands(g.Identity) {
				left[g.Identity.Subject] = true
			}
		}
		for subject := range left {
			if err := as.endPresence(ctx, subject); err != nil {
				return err
			}
		}
		err = as.endWhere(ctx, grants, func(g storage.Grant) bool {
			return g.Issuer == as.cfg.Issuer && (as.withdrawn(g) || slices.Contains(clients, g.ClientID))
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
func (as *AuthorizationServer) withdrawn(g storage.Grant) bool {
	return !as.identityStands(g.Identity) ||
		slices.ContainsFunc(as.serversOf(g.Resources), func(s Server) bool { return !as.mayUse(g.Identity, &s) })
}

// endWhere ends the grants that are as it says.
func (as *AuthorizationServer) endWhere(ctx context.Context, grants []storage.Grant, ends func(storage.Grant) bool) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(endingAtOnce)
	for _, g := range grants {
		if !ends(g) {
			continue
		}
		group.Go(func() error {
			if err := as.revokeGrant(ctx, g.ID); err != nil {
				return err
			}
			as.log.Info("revoked a grant of a person or client that was withdrawn from the configuration",
				zap.String("grant_id", g.ID), zap.String("client_id", g.ClientID), zap.String("subject", g.Identity.Subject))
			return nil
		})
	}
	return group.Wait()
}
