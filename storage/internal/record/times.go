package record

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// The times of each record: a store that keeps them by another clock than its
// callers' translates these. What is not in a list would be off by as much as the
// clocks are.

// ClientTimes are the times of a client.
func ClientTimes(c *storage.Client) []*time.Time {
	return []*time.Time{&c.CreatedAt, &c.ExpiresAt, &c.ApprovedAt}
}

// FlowTimes are the times of a flow.
func FlowTimes(f *storage.Flow) []*time.Time { return []*time.Time{&f.ExpiresAt} }

// CodeTimes are the times of a code.
func CodeTimes(c *storage.Code) []*time.Time { return []*time.Time{&c.ExpiresAt} }

// SessionTimes are the times of a browser session.
func SessionTimes(b *storage.BrowserSession) []*time.Time {
	return []*time.Time{&b.CreatedAt, &b.ExpiresAt}
}

// PersonTimes are the times of a person.
func PersonTimes(p *storage.Person) []*time.Time {
	return []*time.Time{&p.SignedInAt, &p.VerifiedAt, &p.DueAt, &p.ExpiresAt}
}

// StateTimes are the times of a connect state.
func StateTimes(s *storage.ConnectState) []*time.Time { return []*time.Time{&s.ExpiresAt} }

// UpstreamTimes are the times of a registration at a provider.
func UpstreamTimes(c *storage.UpstreamClient) []*time.Time {
	return []*time.Time{&c.CreatedAt, &c.ExpiresAt}
}

// RevocationTimes are the times of a revocation for a provider.
func RevocationTimes(r *storage.ProviderRevocation) []*time.Time {
	return []*time.Time{&r.DueAt, &r.ExpiresAt}
}

// VirtualKeyTimes are the times of a virtual key.
func VirtualKeyTimes(k *storage.VirtualKey) []*time.Time {
	return []*time.Time{&k.FormerUntil, &k.CreatedAt, &k.RotatedAt, &k.ExpiresAt}
}

// SiteValueTimes are the times of a site value.
func SiteValueTimes(v *storage.SiteValue) []*time.Time { return []*time.Time{&v.ExpiresAt} }

// ConnectionTimes are the times of a connection.
func ConnectionTimes(c *storage.Connection) []*time.Time {
	times := []*time.Time{&c.TokenExpiresAt, &c.CreatedAt, &c.UpdatedAt, &c.ExpiresAt, &c.LeaseUntil, &c.RefusedSince}
	if c.OnExpiry != nil {
		own := *c.OnExpiry // the caller's stays as it is
		c.OnExpiry = &own
		times = append(times, RevocationTimes(c.OnExpiry)...)
	}
	return times
}

// GrantTimes are the times of a grant.
func GrantTimes(g *storage.Grant) []*time.Time {
	return []*time.Time{&g.CreatedAt, &g.ExpiresAt, &g.AbsoluteExpiresAt, &g.LastUsedAt, &g.RevokedAt}
}

// RefreshTimes are the times of a refresh token.
func RefreshTimes(t *storage.RefreshToken) []*time.Time {
	return []*time.Time{&t.ExpiresAt, &t.RotatedAt}
}

// AccessTimes are the times of an access token.
func AccessTimes(t *storage.AccessToken) []*time.Time {
	return []*time.Time{&t.IssuedAt, &t.ExpiresAt}
}
