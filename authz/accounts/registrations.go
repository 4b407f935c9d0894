package accounts

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

const (
	// maxFormer is from how many former registrations on only those are kept
	// that a connection still needs, and none is added for a mere doubt.
	maxFormer = 8
	// replacePause and maxReplacePause are how long a registration is left in
	// place after it took that of another which only seemed to be forgotten.
	replacePause    = time.Hour
	maxReplacePause = 24 * time.Hour
)

// registration is a client that a provider registered (RFC 7591). Its times, and
// those of registrations, are of the store's clock.
type registration struct {
	client.Credentials
	RedirectURI string `json:"redirect_uri"`
	// Ends is when the provider takes its secret no more; zero for never.
	Ends time.Time `json:"ends,omitzero"`
	// Unproven is set if it took the place of one that only seemed to be
	// forgotten, and that nobody has connected with it yet.
	Unproven bool `json:"unproven,omitempty"`
}

// registrations are ours at one provider for one server: the one that people
// are sent there as, and former ones, with which connections were made that
// can be refreshed with no other.
type registrations struct {
	registration
	Former []registration `json:"former,omitempty"`
	// ReplacedAt is when the last one was replaced that only seemed to be
	// forgotten, Replaced how many were in a row without any that proved good.
	ReplacedAt time.Time `json:"replaced_at,omitzero"`
	Replaced   int       `json:"replaced,omitempty"`
	// version is what is stored, for a change to take the place of; nil if
	// nothing is.
	version []byte
}

// load reads ours at a provider. One that does not open is worth as
// much as none: a new one takes its place.
func (rg *registrar) load(ctx context.Context, server, provider string) (*registrations, error) {
	rs := new(registrations)
	stored, err := rg.readClient(ctx, server, provider, rs)
	switch {
	case errors.Is(err, seal.ErrOpen):
		rg.deps.Events.Record(ctx, event.Event{Kind: event.RecordDamaged, Reason: "provider_registration", Server: server, Provider: provider, Err: err})
		rs = new(registrations)
	case err != nil && !errors.Is(err, storage.ErrNotFound):
		return nil, err
	}
	rs.version = stored.Secret
	if rs.Ends.IsZero() {
		rs.Ends = rg.toStore(stored.ExpiresAt) // records of before that had one registration and its end outside
	}
	rs.dropEnded(rg.storeNow())
	return rs, nil
}

// dropEnded forgets what the provider takes no more.
func (rs *registrations) dropEnded(now time.Time) {
	if reached(rs.Ends, now) {
		rs.registration = registration{}
	}
	rs.Former = slices.DeleteFunc(rs.Former, func(r registration) bool { return reached(r.Ends, now) })
}

// current returns the registration that people are sent to the provider as, or
// nil if there is none with this redirect URI.
func (rs *registrations) current(redirectURI string) *registration {
	if rs.ID == "" || rs.RedirectURI != redirectURI {
		return nil
	}
	return &rs.registration
}

// byID returns the registration with the client ID, or nil.
func (rs *registrations) byID(id string) *registration {
	if id == "" {
		return nil
	}
	if rs.ID == id {
		return &rs.registration
	}
	if i := slices.IndexFunc(rs.Former, func(r registration) bool { return r.ID == id }); i >= 0 {
		return &rs.Former[i]
	}
	return nil
}

// remove forgets the registration with the client ID, and reports whether it
// was there.
func (rs *registrations) remove(id string) bool {
	switch r := rs.byID(id); r {
	case nil:
		return false
	case &rs.registration:
		*r = registration{}
	default:
		rs.Former = slices.DeleteFunc(rs.Former, func(r registration) bool { return r.ID == id })
	}
	return true
}

// retire keeps the current registration for the connections that were made
// with it. Of those that nobody connected with, the last is kept, for people
// who are still on their way.
func (rs *registrations) retire() {
	if rs.ID == "" {
		return
	}
	if rs.Unproven {
		rs.Former = slices.DeleteFunc(rs.Former, func(r registration) bool { return r.Unproven })
	}
	rs.Former = append([]registration{rs.registration}, rs.Former...)
	rs.registration = registration{}
}

// neededFormer returns the former registrations that connections can be
// refreshed with and, for people who are still on their way, the last one.
func (rg *registrar) neededFormer(ctx context.Context, server, provider string, rs *registrations) ([]registration, error) {
	connections, err := rg.deps.Store.ConnectionsOf(ctx, rg.cfg.Issuer, "", rg.deps.Now())
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{rs.Former[0].ID: true}
	for _, c := range connections {
		if c.Server != server || c.State != storage.Active && c.State != storage.InDoubt {
			continue
		}
		if opened, err := rg.openSecrets(c); err == nil && client.SameIssuer(opened.Binding.Provider, provider) {
			needed[opened.Binding.ClientID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(rs.Former), func(r registration) bool { return !needed[r.ID] }), nil
}

// hasRoom reports whether one more former registration can be kept without
// dropping any that a connection needs.
func (rg *registrar) hasRoom(ctx context.Context, server, provider string, rs *registrations) (bool, error) {
	if len(rs.Former) < maxFormer {
		return true, nil
	}
	needed, err := rg.neededFormer(ctx, server, provider, rs)
	return len(needed) < maxFormer, err
}

// mayReplace reports whether a registration that only seems to be forgotten
// may be replaced now: people who give up on their way must not make us
// register without end.
func (rs *registrations) mayReplace(now time.Time) bool {
	pause := min(replacePause<<min(max(rs.Replaced-1, 0), 8), maxReplacePause)
	return rs.ReplacedAt.IsZero() || !now.Before(rs.ReplacedAt.Add(pause))
}

// expires returns when nothing of it is good any more; zero for never.
func (rs *registrations) expires() time.Time {
	ends := rs.Ends
	for i, r := range rs.Former {
		if rs.ID == "" && i == 0 {
			ends = r.Ends
		} else if ends.IsZero() || r.Ends.IsZero() {
			return time.Time{}
		} else if r.Ends.After(ends) {
			ends = r.Ends
		}
	}
	return ends
}

// changeRegistrations changes ours at a provider. Whoever changed them at the
// same time is not undone: change is called again with what they made of them.
// It reports whether there is anything to be stored.
func (rg *registrar) changeRegistrations(ctx context.Context, server, provider string, change func(*registrations) bool) error {
	for {
		rs, err := rg.load(ctx, server, provider)
		if err != nil {
			return err
		}
		if !change(rs) {
			return nil
		}
		if len(rs.Former) > maxFormer {
			if rs.Former, err = rg.neededFormer(ctx, server, provider, rs); err != nil {
				return err
			}
		}
		if rs.ID == "" && len(rs.Former) == 0 {
			if rs.version == nil {
				return nil
			}
			err := rg.deps.Store.DeleteUpstreamClient(ctx, storage.UpstreamClient{
				Issuer: rg.cfg.Issuer, Provider: provider, Server: server, Secret: rs.version,
			})
			if err != nil {
				return err
			}
			continue // until it is gone: somebody may have changed it, or sealed it anew
		}
		verdict, err := rg.putClient(ctx, server, provider, rs, rg.fromStore(rs.expires()), rs.version)
		if err != nil || verdict == storage.OK {
			return err
		}
	}
}

// forgetClient drops the registration that a provider does not know any more.
// Others stay, and so does what is not ours to drop: the id of our metadata
// document.
func (rg *registrar) forgetClient(ctx context.Context, server, provider, refused string) error {
	return rg.changeRegistrations(ctx, server, provider, func(rs *registrations) bool { return rs.remove(refused) })
}

// noteProven notes that somebody connected with a registration. That is already
// stored, so a failure matters to nobody: the next who connects notes it again.
func (rg *registrar) noteProven(ctx context.Context, server string, to binding) {
	err := rg.changeRegistrations(ctx, server, to.Provider, func(rs *registrations) bool {
		r := rs.byID(to.ClientID)
		if r == nil || !r.Unproven {
			return false
		}
		r.Unproven, rs.Replaced = false, 0
		return true
	})
	if err != nil {
		rg.storeFailed(ctx, server, "noting that a registration at a provider works", err)
	}
}

// readClient reads into v what we are at a provider, and returns the record as it is
// stored.
func (rg *registrar) readClient(ctx context.Context, server, provider string, v any) (storage.UpstreamClient, error) {
	c, err := rg.deps.Store.UpstreamClient(ctx, rg.cfg.Issuer, provider, server, rg.deps.Now())
	if err != nil {
		return c, err
	}
	return c, rg.open(c.Secret, v, sealed.UpstreamClient(rg.cfg.Issuer, provider, server)...)
}

// putClient stores what we are at a provider in place of what replaces names,
// as storage.ConnectionStore does.
func (rg *registrar) putClient(ctx context.Context, server, provider string, v any, expires time.Time, replaces []byte) (storage.Verdict, error) {
	now := rg.deps.Now()
	return rg.deps.Store.PutUpstreamClient(ctx, storage.UpstreamClient{
		Issuer: rg.cfg.Issuer, Provider: provider, Server: server,
		Secret:    rg.seal(v, sealed.UpstreamClient(rg.cfg.Issuer, provider, server)...),
		CreatedAt: now, ExpiresAt: expires,
	}, replaces, now)
}
