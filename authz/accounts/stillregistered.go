package accounts

import (
	"context"
	"errors"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"go.uber.org/zap"
)

// A provider that forgot a registration says so to the browser, on a page from
// which nobody comes back. So we ask it ourselves, at its token endpoint, but
// only when the last person whom we sent there did not return: a provider that
// works is never asked. What it answers, and who did not come back, decide:
//
//	it says                   we register anew
//	invalid_client            at once
//	nothing clear             after somebody was lost, or a refusal that was as unclear
//	that it knows the client  after two were lost: some providers look at the code first
//	an error of its own (500)  likewise: some fail over a client that they do not know
//	that it cannot, or nothing  not now
//
// Where it did not say invalid_client, the former registration stays for the
// connections that were made with it, and replacing is bounded: see mayReplace
// and hasRoom.

// knowledge is what a provider says about a client.
type knowledge int

const (
	knowsNotSaid knowledge = iota // it could not answer
	knowsClient                   // or it failed over the question
	knowsUnclear
	knowsNot
)

// standing is whether a registration can still be used.
type standing int

const (
	registered standing = iota
	seemsForgotten
	forgotten
)

// judge tells how the current registration stands, for a trip of this owner.
func (b *Broker) judge(ctx context.Context, s *Server, p *client.Provider, rs *registrations, owner string) (standing, error) {
	returned, lost := b.deps.Shared.departures.of(b.departureKey(s, rs.ID), owner, b.deps.Now())
	if returned {
		return registered, nil
	}
	known := b.askWhetherKnown(ctx, s, p, &rs.registration)
	doubtful := known == knowsUnclear && lost >= 1 || known == knowsClient && lost >= 2
	switch {
	case known == knowsNot:
		return forgotten, nil
	case !doubtful || !rs.mayReplace(b.deps.Now()):
		return registered, nil
	}
	room, err := b.hasRoom(ctx, s, p.Issuer, rs)
	if err != nil || !room {
		return registered, err
	}
	return seemsForgotten, nil
}

// askWhetherKnown shows a provider a code that nobody issued. One that knows
// the client answers invalid_grant (RFC 6749 section 5.2).
func (b *Broker) askWhetherKnown(ctx context.Context, s *Server, p *client.Provider, r *registration) knowledge {
	at := client.Endpoint{URL: p.TokenEndpoint, Issuer: p.Issuer, Resource: p.Resource}
	_, err := b.oauthClient(s).RedeemCode(ctx, at, r.Credentials, oauth.NewSecret(""), oauth.NewSecret(""), r.RedirectURI)
	var failure *client.TokenError
	switch {
	case !errors.As(err, &failure):
		return knowsClient
	case failure.Failure == client.Unable && failure.MayHaveActed():
		return knowsClient
	case failure.Failure != client.Refused || failure.Temporary():
		return knowsNotSaid
	case failure.Code == "invalid_client":
		return knowsNot
	case failure.Code == "invalid_grant":
		return knowsClient
	}
	return knowsUnclear
}

// replace registers anew in place of a registration that the provider seems to
// have forgotten, and goes on with that one if it gets no other.
func (b *Broker) replace(ctx context.Context, s *Server, p *client.Provider, doubted *client.Credentials) (*client.Credentials, error) {
	c, err := b.register(ctx, s, p, doubted.ID, true)
	if err != nil {
		b.log.Warn("nobody comes back from a provider, which gives no new registration either; going on with the one there is",
			zap.String("server", s.ID), zap.String("provider", p.Issuer), zap.Error(err))
		return doubted, nil
	}
	b.deps.Shared.departures.forget(b.departureKey(s, doubted.ID))
	b.log.Warn("nobody comes back from a provider, which may have forgotten our registration; registered anew",
		zap.String("server", s.ID), zap.String("provider", p.Issuer), zap.String("client_id", c.ID))
	return c, nil
}

// noteRefusal notes what a refusal at the token endpoint says about a dynamic
// registration: the next trip registers anew, or looks into it.
func (b *Broker) noteRefusal(ctx context.Context, s *Server, l link, failure *client.TokenError) error {
	key := b.departureKey(s, l.ClientID)
	switch {
	case failure.Failure != client.Refused || failure.Temporary():
	case failure.Code == "invalid_client" && s.Client == nil:
		b.deps.Shared.departures.forget(key)
		return b.forgetClient(ctx, s, l.Provider, l.ClientID)
	case failure.Code == "" || failure.Code == "unauthorized_client":
		b.deps.Shared.departures.doubt(key)
	}
	return nil
}
