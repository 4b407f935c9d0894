package accounts

import (
	"context"
	"errors"
	"time"
)

// ErrUnknownRegistration: there is no dynamic registration for this server.
var ErrUnknownRegistration = errors.New("upstream: no such registration")

// RegistrationOverview is what an operator may know of our registrations at a
// provider for one server.
type RegistrationOverview struct {
	Server, Provider string
	// ClientID is empty if the next person to connect gets a new one.
	ClientID string
	// Former counts those that are kept for connections made with them.
	Former    int
	ChangedAt time.Time
	ExpiresAt time.Time
}

// Registrations returns the dynamic registrations of the site.
func (b *Broker) Registrations(ctx context.Context) ([]RegistrationOverview, error) {
	stored, err := b.deps.Store.UpstreamClients(ctx, b.cfg.Issuer, b.deps.Now())
	if err != nil {
		return nil, err
	}
	all := make([]RegistrationOverview, 0, len(stored))
	for _, c := range stored {
		if c.Provider == pinnedProvider {
			continue
		}
		rs, err := b.registrations(ctx, &Server{ID: c.Server}, c.Provider)
		if err != nil {
			return nil, err
		}
		all = append(all, RegistrationOverview{
			Server: c.Server, Provider: c.Provider, ClientID: rs.ID, Former: len(rs.Former), ChangedAt: c.CreatedAt, ExpiresAt: c.ExpiresAt,
		})
	}
	return all, nil
}

// RetireRegistrations has the next person who connects the server get a new
// registration. The former ones stay for what was connected with them. It is
// ErrUnknownRegistration if there are none.
func (b *Broker) RetireRegistrations(ctx context.Context, server string) error {
	all, err := b.Registrations(ctx)
	if err != nil {
		return err
	}
	found := false
	for _, r := range all {
		if r.Server != server {
			continue
		}
		found = true
		if err := b.changeRegistrations(ctx, &Server{ID: server}, r.Provider, func(rs *registrations) bool {
			rs.retire()
			rs.ReplacedAt, rs.Replaced = time.Time{}, 0
			return true
		}); err != nil {
			return err
		}
	}
	if !found {
		return ErrUnknownRegistration
	}
	return nil
}
