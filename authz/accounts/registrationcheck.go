package accounts

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
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

// registrationState is whether a registration can still be used.
type registrationState int

const (
	registered registrationState = iota
	seemsForgotten
	forgotten
)

// check decides whether the current registration can still be used, when this
// owner is about to be sent to the provider.
func (rg *registrar) check(ctx context.Context, s *config.Server, p *client.Provider, rs *registrations, owner string) (registrationState, error) {
	returned, lost := rg.deps.Shared.attempts.of(rg.attemptsKey(s.ID, rs.ID), storage.HashOf(owner), rg.deps.Now())
	if returned {
		return registered, nil
	}
	known := rg.askWhetherKnown(ctx, s, p, &rs.registration)
	doubtful := known == knowsUnclear && lost >= 1 || known == knowsClient && lost >= 2
	switch {
	case known == knowsNot:
		return forgotten, nil
	case !doubtful || !rs.mayReplace(rg.storeNow()):
		return registered, nil
	}
	room, err := rg.hasRoom(ctx, s.ID, p.Issuer, rs)
	if err != nil || !room {
		return registered, err
	}
	return seemsForgotten, nil
}

// askWhetherKnown shows a provider a code that nobody issued. One that knows
// the client answers invalid_grant (RFC 6749 section 5.2).
func (rg *registrar) askWhetherKnown(ctx context.Context, s *config.Server, p *client.Provider, r *registration) knowledge {
	at := client.Endpoint{URL: p.TokenEndpoint, Issuer: p.Issuer, Resource: p.Resource}
	_, err := rg.oauthClient(s).RedeemCode(ctx, at, r.Credentials, oauth.NewSecret(""), oauth.NewSecret(""), r.RedirectURI)
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
func (rg *registrar) replace(ctx context.Context, s *config.Server, p *client.Provider, doubted *client.Credentials) (*client.Credentials, error) {
	c, err := rg.register(ctx, s, p, doubted.ID, true)
	if err != nil {
		rg.deps.Events.Record(ctx, event.Event{Kind: event.ProviderRegistrationFailed, Server: s.ID, Provider: p.Issuer, Err: err})
		return doubted, nil
	}
	rg.attempted(s.ID, doubted.ID, Attempt{What: clientForgotten})
	rg.deps.Events.Record(ctx, event.Event{Kind: event.ProviderRegistrationReplaced, Server: s.ID, Provider: p.Issuer})
	return c, nil
}

// noteRefusal notes what a refusal at the token endpoint says about a dynamic
// registration: the next connect request registers anew, or looks into it.
func (rg *registrar) noteRefusal(ctx context.Context, s *config.Server, to binding, failure *client.TokenError) error {
	switch {
	case failure.Failure != client.Refused || failure.Temporary():
	case failure.Code == "invalid_client" && s.Auth.ClientID == "":
		rg.attempted(s.ID, to.ClientID, Attempt{What: clientForgotten})
		return rg.forgetClient(ctx, s.ID, to.Provider, to.ClientID)
	case failure.Code == "" || failure.Code == "unauthorized_client":
		rg.attempted(s.ID, to.ClientID, Attempt{What: clientDoubted})
	}
	return nil
}

// maxAway bounds how many people on their way are remembered for each client.
const maxAway = 64

// Attempt is what a process learnt of a client that we are at a provider, when it
// sent somebody there, or an answer came. All processes on a store are told: the
// answer may come to another one than sent the person.
type Attempt struct {
	Client storage.Hash `json:"client"`
	// Owner is whose connection it is about, for ownerSent.
	Owner storage.Hash `json:"owner,omitzero"`
	What  attempt      `json:"what"`
}

type attempt string

const (
	// ownerSent: somebody is sent to the provider.
	ownerSent attempt = "sent"
	// clientKnown: the provider knows the client. Nobody who was sent before was lost
	// through that.
	clientKnown attempt = "known"
	// clientDoubted: the provider refused the client without saying why.
	clientDoubted attempt = "doubted"
	// clientForgotten: the client is no longer ours.
	clientForgotten attempt = "forgotten"
)

// attempted notes what was learnt of a client, and tells it the other processes.
func (rg *registrar) attempted(server, clientID string, a Attempt) {
	a.Client = rg.attemptsKey(server, clientID)
	rg.deps.Shared.attempts.note(a, rg.deps.Now())
	if tell := rg.deps.Shared.Tell.Load(); tell != nil {
		(*tell)(a)
	}
}

// Told notes what another process learnt.
func (sh *Shared) Told(a Attempt, now time.Time) { sh.attempts.note(a, now) }

// attemptsKey names a client in attempts.
func (rg *registrar) attemptsKey(server, clientID string) storage.Hash {
	return storage.HashOf(flightKey(storage.ConnectionKey{Issuer: rg.cfg.Issuer, Owner: clientID, Server: server}))
}

// attempts has, for each client that we are at a provider, who was sent there
// and did not come back. A provider that does not know the client keeps people
// on an error page of its own. No store has this: a process that starts has to
// lose somebody again.
type attempts struct {
	mu       sync.Mutex // guards byClient and what it holds
	byClient map[storage.Hash]*clientAttempts
}

type clientAttempts struct {
	// known is set if the provider knew the client, and nobody was sent since.
	known bool
	// away has when each owner was sent who has not come back.
	away map[storage.Hash]time.Time
	// lost counts those who did not come back, and answers of the provider
	// that said neither yes nor no.
	lost int
}

func (a *attempts) get(key storage.Hash) *clientAttempts {
	if a.byClient == nil {
		a.byClient = map[storage.Hash]*clientAttempts{}
	}
	if a.byClient[key] == nil {
		a.byClient[key] = &clientAttempts{away: map[storage.Hash]time.Time{}}
	}
	return a.byClient[key]
}

// of reports whether the provider is known to know the client, and how many
// were lost. Who is sent again was, and so was who could not come back any more.
func (a *attempts) of(key, owner storage.Hash, now time.Time) (known bool, lost int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.get(key)
	for other, sent := range c.away {
		if other == owner || now.Sub(sent) >= connectLifetime {
			delete(c.away, other)
			c.lost++
		}
	}
	return c.known, c.lost
}

func (a *attempts) note(what Attempt, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if what.What == clientForgotten {
		delete(a.byClient, what.Client)
		return
	}
	c := a.get(what.Client)
	switch what.What {
	case ownerSent:
		c.known = false
		if len(c.away) < maxAway {
			c.away[what.Owner] = now
		}
	case clientKnown:
		c.known, c.lost = true, 0
		clear(c.away)
	case clientDoubted:
		c.known = false
		c.lost++
	}
}
