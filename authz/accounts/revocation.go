package accounts

import (
	"time"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// revocationPatience is how long a provider is told to revoke something.
	revocationPatience = 7 * 24 * time.Hour
	// secondThoughts is how long what a flow connected is left alone after
	// nobody finished the flow: by then, whoever began anew has finished that.
	secondThoughts = time.Hour
)

// Many providers do not revoke one token, but all that the person ever gave
// the client (RFC 7009 section 2.1 lets them; Google says so). So there are
// two kinds of revocations:
//
//	asked for    the person, or an operator, ends a connection: it is sent
//	a by-product connected again, or for nothing: not if the person has
//	             another connection with the same client of the provider
//
// One of the second kind names the Person who must not lose anything by it.

// revocationOf returns what to tell the provider, or nil if there is no way.
// Damaged credentials do not keep a connection from being ended.
func (b *Broker) revocationOf(c storage.Connection) *storage.ProviderRevocation {
	opened, err := b.openConnection(c)
	if err != nil {
		return nil
	}
	return b.newRevocation(c.Server, opened, b.deps.Now())
}

// revocationOfReplaced returns what to tell the provider when a connection is
// replaced by another of the owner's, or nil.
func (b *Broker) revocationOfReplaced(c storage.Connection, replacement link) *storage.ProviderRevocation {
	if c.ID == "" {
		return nil
	}
	opened, err := b.openConnection(c)
	if err != nil || sameClient(opened.Link, replacement) {
		return nil
	}
	if opened.Person == "" {
		opened.Person = c.Owner
	}
	return b.newRevocation(c.Server, opened, b.deps.Now())
}

// revocationOnExpiry returns what to tell the provider if nobody finishes the
// flow that made the connection, or nil. Nobody in particular would, when they
// begin anew, not be known to be the same.
func (b *Broker) revocationOnExpiry(c storage.Connection, s secrets) *storage.ProviderRevocation {
	if c.ExpiresAt.IsZero() || s.Person == "" || identity.IsAnonymous(s.Person) {
		return nil
	}
	return b.newRevocation(c.Server, s, c.ExpiresAt.Add(secondThoughts))
}

// newRevocation returns an entry of the queue, or nil if the provider has no
// way to revoke.
func (b *Broker) newRevocation(server string, s secrets, due time.Time) *storage.ProviderRevocation {
	if s.Link.RevocationEndpoint == "" || s.AccessToken == "" {
		return nil
	}
	r := &storage.ProviderRevocation{
		ID: uuid.NewString(), Issuer: b.cfg.Issuer, Server: server, DueAt: due, ExpiresAt: due.Add(revocationPatience),
	}
	r.Secret = b.seal(s, revocationContext(r)...)
	return r
}

func revocationContext(r *storage.ProviderRevocation) []string {
	return []string{"revocation", r.Issuer, r.Server, r.ID}
}

// sameClient reports whether a provider may count both to one grant.
func sameClient(a, b link) bool {
	return client.SameIssuer(a.Provider, b.Provider) && a.ClientID == b.ClientID
}
