package grants

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Validator tells endpoints whether an access token that somebody presents is
// good here, whose it is, and at which MCP servers. It asks the store each time,
// so that a revocation in another process is known at once; calls to MCP servers
// go through package authz/gate, which remembers the answer for a while.
//
// Whether the sender may go on trying wrong tokens is for its caller to count,
// see ratelimit.Attempts.
type Validator struct {
	policy *Policy
	issued *tokens.AccessTokens
	store  storage.AuthStore
	now    func() time.Time
}

// NewValidator returns the validator of the access tokens of an issuer.
func NewValidator(policy *Policy, issued *tokens.AccessTokens, store storage.AuthStore, now func() time.Time) *Validator {
	return &Validator{policy: policy, issued: issued, store: store, now: now}
}

// AccessToken returns the record of a token and the servers it is good at, one
// at least. It returns storage.ErrNotFound for any token that is good nowhere,
// whatever the reason, or a store failure. The scopes that calls of a server need
// are not looked at.
func (v *Validator) AccessToken(ctx context.Context, presented string) (storage.AccessToken, []*config.Server, error) {
	if !v.issued.Issued(presented) { // made up: nothing for the store
		return storage.AccessToken{}, nil, storage.ErrNotFound
	}
	t, err := v.store.AccessToken(ctx, storage.HashOf(presented), v.now())
	if err == nil && !v.issued.Bound(presented, tokens.ContentsOf(&t)) {
		err = storage.ErrNotFound
	}
	if err != nil {
		return storage.AccessToken{}, nil, err
	}
	switch err := v.policy.cfg.SignIn.Verified(t.Identity, v.now()); {
	case errors.Is(err, identity.ErrProviderSilent):
		return storage.AccessToken{}, nil, ErrProviderSilent
	case err != nil:
		return storage.AccessToken{}, nil, storage.ErrNotFound
	}
	var servers []*config.Server
	for _, s := range v.policy.ServersAt(t.Audience) {
		if v.policy.Admits(s, t.Issuer, t.Identity, t.Audience) {
			servers = append(servers, s)
		}
	}
	if len(servers) == 0 {
		return storage.AccessToken{}, nil, storage.ErrNotFound
	}
	return t, servers, nil
}
