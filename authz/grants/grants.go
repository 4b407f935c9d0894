package grants

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// ErrNoSuchGrant: the person has no such grant, or no more.
var ErrNoSuchGrant = errors.New("authz: no such grant") // 404

// Grants are what people approved for the clients of one issuer.
type Grants struct {
	cfg     *config.Site
	policy  *Policy
	persons *persons.Persons
	store   storage.AuthStore
	cache   *tokens.Cache
	events  *event.Recorder
	now     func() time.Time
}

// New returns the grants of the site in the store. What is revoked leaves the
// cache at once.
func New(cfg *config.Site, policy *Policy, persons *persons.Persons, store storage.AuthStore, cache *tokens.Cache, events *event.Recorder, now func() time.Time) *Grants {
	return &Grants{cfg: cfg, policy: policy, persons: persons, store: store, cache: cache, events: events, now: now}
}

// List returns what a person approved and did not take back, oldest first.
func (gs *Grants) List(ctx context.Context, subject string) ([]storage.Grant, error) {
	grants, err := gs.store.GrantsOf(ctx, gs.cfg.Issuer, subject, gs.now())
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	return grants, nil
}

// Last returns the newest grant with which a person let a client in and did not take
// back, or nil.
func (gs *Grants) Last(ctx context.Context, subject, clientID string) (*storage.Grant, error) {
	g, err := gs.store.LastGrant(ctx, gs.cfg.Issuer, subject, clientID, gs.now())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, oauth.Unavailable(err)
	}
	return &g, nil
}

// About returns an event about a grant: whose it is, of which client, and for which
// servers.
func (gs *Grants) About(g *storage.Grant, e event.Event) event.Event {
	e.Grant, e.Client, e.ClientName = g.ID, g.ClientID, g.ClientName
	e.Person, e.Identity = g.Identity.Subject, g.Identity.Kind
	var ids []string
	for _, s := range gs.policy.ServersAt(g.Resources) {
		ids = append(ids, s.ID)
	}
	return e.On(ids)
}

// Revoke ends the grant that why is about with all its tokens, and records why
// unless it had ended before.
func (gs *Grants) Revoke(ctx context.Context, why event.Event) error {
	revocation, err := gs.store.RevokeGrant(ctx, why.Grant, gs.now())
	if err != nil {
		return oauth.Unavailable(err)
	}
	gs.cache.Forget(revocation)
	if len(revocation.GrantIDs) > 0 {
		why.Kind = event.GrantEnded
		gs.events.Record(ctx, why)
	}
	return nil
}

// RevokeOf is Revoke for a grant of the subject, who asks for it, and returns it.
// Whether a grant of somebody else exists is not told.
func (gs *Grants) RevokeOf(ctx context.Context, subject, id string) (storage.Grant, error) {
	g, err := gs.store.Grant(ctx, id, gs.now())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return storage.Grant{}, ErrNoSuchGrant
	case err != nil:
		return storage.Grant{}, oauth.Unavailable(err)
	case g.Issuer != gs.cfg.Issuer || g.Identity.Subject != subject:
		return storage.Grant{}, ErrNoSuchGrant
	}
	return g, gs.Revoke(ctx, gs.About(&g, event.Event{Reason: "taken_back", By: event.ByPerson}))
}

// Left returns how long a grant can last from now on.
func (gs *Grants) Left(g *storage.Grant) time.Duration { return g.AbsoluteExpiresAt.Sub(gs.now()) }

// Change changes what the client of a grant may use, for the subject who asks for it.
// With lasts, the grant ends then at the latest. Whether a grant of somebody else exists
// is not told.
func (gs *Grants) Change(ctx context.Context, subject, id string, chosen []storage.Choice, lasts time.Duration) (storage.Grant, error) {
	now, endsBy := gs.now(), time.Time{}
	if lasts > 0 {
		endsBy = now.Add(lasts)
	}
	g, err := gs.store.Grant(ctx, id, now)
	if err == nil {
		var changed storage.Revocation
		changed, err = gs.store.ChangeGrant(ctx, storage.GrantChange{
			ID: id, Issuer: gs.cfg.Issuer, Subject: subject, Chosen: chosen, EndsBy: endsBy, Now: now,
		})
		gs.cache.Forget(changed)
	}
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return storage.Grant{}, ErrNoSuchGrant
	case err != nil:
		return storage.Grant{}, oauth.Unavailable(err)
	}
	g.Chosen = chosen
	gs.events.Record(ctx, gs.About(&g, event.Event{Kind: event.GrantChanged, By: event.ByPerson}))
	return g, nil
}

// UsableServers returns the servers of a grant that can still be used. Asked
// before every issue of tokens, it makes a grant end with what it rests on: an
// identity that was withdrawn, or a redirect URI that the client gave up, which
// may be in other hands now; redirectURIs are those that it has. A server that left the configuration ends
// nothing, it may come back.
func (gs *Grants) UsableServers(ctx context.Context, redirectURIs []string, g *storage.Grant) ([]*config.Server, error) {
	configured := gs.policy.ServersAt(g.Resources)
	switch {
	case len(configured) == 0:
		return nil, oauth.ErrInvalidGrant.Because("servers_gone")
	case !g.RevokedAt.IsZero():
		return nil, oauth.ErrInvalidGrant.Because("grant_ended")
	}
	usable := slices.DeleteFunc(configured, func(s *config.Server) bool { return !gs.policy.MayUse(g.Identity, s) })
	var reason string
	switch {
	case !gs.policy.Allows(g.Identity):
		reason = "identity_withdrawn"
	case len(usable) == 0:
		reason = "servers_withdrawn"
	case !oauth.RedirectURIAllowed(redirectURIs, g.RedirectURI):
		reason = "redirect_uri_given_up"
	default:
		return usable, nil
	}
	if err := gs.Revoke(ctx, gs.About(g, event.Event{Reason: reason, By: event.BySite})); err != nil {
		return nil, err
	}
	return nil, oauth.ErrInvalidGrant.Because(reason)
}
