package accounts

import (
	"context"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
)

// registeredClient returns our registration at a provider, and registers us
// where there is none that the provider still knows. All who ask at the same
// time share one.
func (b *Broker) registeredClient(ctx context.Context, s *Server, p *client.Provider, owner string) (*client.Credentials, error) {
	v, err, _ := b.registering.Do(s.ID+" "+p.Issuer, func() (any, error) {
		ctx := context.WithoutCancel(ctx) // others wait for it too
		rs, err := b.registrations(ctx, s, p.Issuer)
		if err != nil {
			return nil, err
		}
		r := rs.current(b.profile(s).RedirectURI)
		if r == nil {
			return b.register(ctx, s, p, rs.ID, false)
		}
		state, err := b.judge(ctx, s, p, rs, owner)
		if err != nil {
			return nil, err
		}
		switch state {
		case forgotten:
			if err := b.forgetClient(ctx, s, p.Issuer, r.ID); err != nil {
				return nil, err
			}
			return b.register(ctx, s, p, "", false)
		case seemsForgotten:
			return b.replace(ctx, s, p, &r.Credentials)
		}
		return &r.Credentials, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*client.Credentials), nil
}

// register registers us with a provider (RFC 7591 section 3), in place of the
// registration with this client ID, if any, which stays for the connections
// that were made with it. A doubted one only seems to be forgotten.
func (b *Broker) register(ctx context.Context, s *Server, p *client.Provider, former string, doubted bool) (*client.Credentials, error) {
	made, err := b.oauthClient(s).Register(ctx, p)
	if err != nil {
		return nil, asProblem(err)
	}
	r := registration{Credentials: made.Credentials, RedirectURI: made.RedirectURI, Ends: made.SecretEnds}
	kept := r.Credentials
	err = b.changeRegistrations(ctx, s, p.Issuer, func(rs *registrations) bool {
		if current := rs.current(r.RedirectURI); current != nil && current.ID != former {
			kept = current.Credentials // somebody else registered at the same time
			return false
		}
		rs.retire()
		rs.remove(r.ID) // some providers give the same one again, with another secret
		rs.registration = r
		if doubted {
			rs.Unproven, rs.ReplacedAt, rs.Replaced = true, b.deps.Now(), rs.Replaced+1
		}
		return true
	})
	return &kept, err
}
