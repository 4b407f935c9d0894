package server

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// maxServiceGrants is how many tokens of a service person live side by side, as
	// those of many jobs that run at a time.
	maxServiceGrants = 1000
	// serviceTokensPerMinute is how many tokens a service person gets. Each is a
	// write to the disk.
	serviceTokensPerMinute = 600
)

var errTooManyServiceTokens = &oauth.Error{
	Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Reason: "too_many_tokens",
	Description: "Tokens are asked for too often; use one until it expires, and try again shortly.",
}

// serviceIssuer issues access tokens to service persons: each with a grant of its
// own, which ends with it, and never with a refresh token (RFC 6749 section 4.4.3).
type serviceIssuer struct {
	cfg     *config.Site
	policy  *grants.Policy
	issuer  *tokenIssuer
	store   storage.AuthStore
	limiter *ratelimit.Limiter
	events  *event.Recorder
	now     func() time.Time
}

// service is who asks for a token.
type service struct {
	storage.Identity
	clientID, clientName string
	lifetime             time.Duration
	// how is the grant type, in a word for the log.
	how string
	// usesUp is what the client proved itself with, if that is used up; nil without one.
	usesUp func() *storage.OneTime
}

// clientCredentials is the grant type client_credentials (OAuth 2.1 section 4.2).
// Only a client that an operator configured for it has a Service, and only one that
// proved who it is gets here.
func (si *serviceIssuer) clientCredentials(ctx context.Context, client *clients.Authenticated, form url.Values) (*issuedTokens, error) {
	if client.Service == nil || client.Origin != clients.Preregistered || !client.Proved {
		return nil, oauth.NewError("unauthorized_client", "Only a client that an operator configured for it, and that authenticates, gets tokens for itself.")
	}
	return si.issue(ctx, service{client.Service.Identity(), client.ID, client.Metadata.ClientName, client.ServiceLifetime, oauth.GrantClientCredentials, client.UsesUp}, form)
}

func (si *serviceIssuer) issue(ctx context.Context, s service, form url.Values) (*issuedTokens, error) {
	event.Learn(ctx, event.Event{Person: s.Subject, Identity: s.Kind, Client: s.clientID, ClientName: s.clientName})
	audience, requested, err := si.audience(s.Identity, form)
	if err != nil {
		return nil, err
	}
	scope, err := grants.ResolveScope(form.Get("scope"), audience)
	if err != nil {
		return nil, err
	}
	if !si.limiter.Allow("service_token", si.cfg.Issuer+" "+s.Subject, serviceTokensPerMinute) {
		return nil, errTooManyServiceTokens
	}
	now := si.now()
	end := now.Add(s.lifetime)
	g := storage.Grant{
		ID: uuid.NewString(), Issuer: si.cfg.Issuer, ClientID: s.clientID, Identity: s.Identity, Scope: grants.WithoutConnecting(scope),
		Resources: grants.ResourcesOf(audience), ResourcesRequested: requested, ClientName: s.clientName,
		CreatedAt: now, ExpiresAt: end, AbsoluteExpiresAt: end, LastUsedAt: now,
	}
	issued, records, err := si.issuer.issue(ctx, &g, end, audience, g.Scope, false, now)
	if err != nil {
		return nil, err
	}
	stored := storage.ServiceGrant{Grant: g, Access: records.Access, Max: maxServiceGrants, Now: now}
	if s.usesUp != nil {
		stored.UsesUp = s.usesUp()
	}
	switch v, err := si.store.IssueGrant(ctx, stored); {
	case err != nil:
		return nil, oauth.Unavailable(err)
	case v == storage.AlreadyUsed:
		return nil, clients.ErrAssertionUsed
	}
	about := event.Event{
		Kind: event.TokenIssued, Reason: s.how, By: event.ByClient, Grant: g.ID, Person: s.Subject, Identity: s.Kind, Client: s.clientID, ClientName: s.clientName,
	}
	var ids []string
	for _, server := range audience {
		ids = append(ids, server.ID)
	}
	si.events.Record(ctx, about.On(ids))
	return issued, nil
}

// audience returns the servers that a token shall be good for, and whether the
// request names them: the one that it names or else all that the service may use.
func (si *serviceIssuer) audience(id storage.Identity, form url.Values) (servers []*config.Server, requested bool, err error) {
	targets := slices.DeleteFunc(slices.Clone(form["audience"]), func(a string) bool { return a == si.cfg.Issuer }) // which narrows nothing
	named, err := si.policy.Resolve(slices.Concat(form["resource"], targets))
	switch {
	case err != nil:
		return nil, false, err
	case len(named) > 1:
		return nil, false, oauth.NewError("invalid_target", "A token is for one resource: name one.")
	case len(named) == 1:
		servers = si.policy.ServersAt(named)
	default:
		servers = si.cfg.Servers
	}
	usable := slices.DeleteFunc(slices.Clone(servers), func(s *config.Server) bool { return s.Resource == "" || !si.policy.MayUse(id, s) })
	if len(usable) == 0 {
		return nil, false, oauth.NewError("invalid_target", "There is nothing here that this client may use by itself.").Because("servers_not_allowed")
	}
	return usable, len(named) == 1, nil
}
