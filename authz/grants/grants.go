package grants

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
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
	log     *zap.Logger
	now     func() time.Time
}

// New returns the grants of the site in the store. What is revoked leaves the
// cache at once.
func New(cfg *config.Site, policy *Policy, persons *persons.Persons, store storage.AuthStore, cache *tokens.Cache, log *zap.Logger, now func() time.Time) *Grants {
	return &Grants{cfg: cfg, policy: policy, persons: persons, store: store, cache: cache, log: log, now: now}
}

// List returns what a person approved and did not take back, oldest first.
func (gs *Grants) List(ctx context.Context, subject string) ([]storage.Grant, error) {
	grants, err := gs.store.GrantsOf(ctx, gs.cfg.Issuer, subject, gs.now())
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	return grants, nil
}

// Revoke ends a grant with all its tokens.
func (gs *Grants) Revoke(ctx context.Context, id string) error {
	revocation, err := gs.store.RevokeGrant(ctx, id, gs.now())
	if err != nil {
		return oauth.Unavailable(err)
	}
	gs.cache.Forget(revocation)
	return nil
}

// RevokeOf is Revoke for a grant of the subject, which it returns. Whether a
// grant of somebody else exists is not told.
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
	return g, gs.Revoke(ctx, g.ID)
}

// UsableServers returns the servers of a grant that can still be used. Asked
// before every issue of tokens, it makes a grant end with what it rests on: an
// identity that was withdrawn, or a redirect URI that the client gave up, which
// may be in other hands now; redirectURIs are those that it has. A server that left the configuration ends
// nothing, it may come back.
func (gs *Grants) UsableServers(ctx context.Context, redirectURIs []string, g *storage.Grant) ([]*config.Server, error) {
	configured := gs.policy.ServersAt(g.Resources)
	if len(configured) == 0 || !g.RevokedAt.IsZero() {
		return nil, oauth.ErrInvalidGrant
	}
	usable := slices.DeleteFunc(configured, func(s *config.Server) bool { return !gs.policy.MayUse(g.Identity, s) })
	var reason string
	switch {
	case !gs.policy.Allows(g.Identity):
		reason = "its identity was withdrawn"
	case len(usable) == 0:
		reason = "its identity may use none of its servers any more"
	case !oauth.RedirectURIAllowed(redirectURIs, g.RedirectURI):
		reason = "its client gave up its redirect URI"
	default:
		return usable, nil
	}
	if err := gs.Revoke(ctx, g.ID); err != nil {
		return nil, err
	}
	gs.log.Info("grant revoked", zap.String("reason", reason), zap.String("grant_id", g.ID), zap.String("client_id", g.ClientID))
	return nil, oauth.ErrInvalidGrant
}
