package accounts

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// registrar decides what we are at each provider, and keeps what providers
// registered.
type registrar struct {
	*site
	// registering has the registrations that are under way.
	registering singleflight.Group
}

// errClientGone: the client that tokens are bound to is no longer ours, so
// its tokens cannot be refreshed.
var errClientGone = errors.New("the client that got the tokens is gone")

// clientFor returns what we are at a provider, registering where needed:
// the operator's client, else our metadata document, else a dynamic
// registration (MCP authorization, client registration approaches).
func (rg *registrar) clientFor(ctx context.Context, s *config.Server, p *client.Provider, owner string) (*client.Credentials, error) {
	profile := rg.profile(s)
	switch {
	case s.Auth.ClientID != "":
		if err := rg.pinIssuer(ctx, s, p); err != nil {
			return nil, err
		}
		return profile.ConfiguredCredentials(s.Auth.ClientID, s.Auth.ClientSecret, p.AuthMethods), nil
	case bool(p.ClientDocuments) && profile.OffersDocument(s.Auth.Quirks, p.Issuer):
		return profile.DocumentCredentials(p.AuthMethods), nil
	case p.RegistrationEndpoint != "":
		return rg.registeredClient(ctx, s, p, owner)
	case bool(p.ClientDocuments):
		return nil, client.Errorf(client.NotRegistered, "%s takes metadata documents alone, and this site offers it none: it has to be https and reachable from the internet; "+
			"configure client_id for server %s, or metadata_document on if the provider can fetch %s", p.Issuer, s.ID, profile.DocumentID)
	}
	return nil, client.Errorf(client.NotRegistered, "%s offers no registration; configure client_id for server %s", p.Issuer, s.ID)
}

// clientOf returns the client that tokens are bound to, or errClientGone.
func (rg *registrar) clientOf(ctx context.Context, s *config.Server, to binding) (*client.Credentials, error) {
	if s.Auth.ClientID != "" {
		belongs, err := rg.clientBelongs(ctx, s, to)
		if err != nil {
			return nil, err
		}
		if !belongs {
			return nil, errClientGone
		}
		return &client.Credentials{ID: to.ClientID, Secret: s.Auth.ClientSecret, AuthMethod: to.AuthMethod}, nil
	}
	if rg.isDocument(s, to.ClientID) {
		return &client.Credentials{ID: to.ClientID, AuthMethod: to.AuthMethod}, nil
	}
	rs, err := rg.load(ctx, s.ID, to.Provider)
	if err != nil {
		return nil, err
	}
	if r := rs.byID(to.ClientID); r != nil {
		return &client.Credentials{ID: r.ID, Secret: r.Secret, AuthMethod: to.AuthMethod}, nil
	}
	return nil, errClientGone
}

// pinnedProvider stands for the provider in the record of which issuer an
// operator's client belongs to. It is no URL, so no issuer is called so.
const pinnedProvider = "configured client"

type issuerPin struct {
	ClientID string `json:"client_id"`
	Issuer   string `json:"issuer"`
}

// pinIssuer keeps the operator's client with the provider it was first used
// at. A server that later names another one does not get to see it there
// (MCP authorization, authorization server binding).
func (rg *registrar) pinIssuer(ctx context.Context, s *config.Server, p *client.Provider) error {
	if !p.Discovered {
		return nil // the operator said where the client belongs
	}
	var pin issuerPin
	stored, err := rg.readClient(ctx, s.ID, pinnedProvider, &pin)
	if errors.Is(err, seal.ErrOpen) { // without it, nothing says that the secret belongs here
		return client.Errorf(client.ProviderUnusable, "the record of which provider server %s uses its client_id at does not open; configure issuer", s.ID)
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if pin.ClientID == s.Auth.ClientID {
		if !client.SameIssuer(pin.Issuer, p.Issuer) {
			return client.Errorf(client.ProviderUnusable, "server %s names another provider, %s, than the client_id was used at, %s; configure issuer",
				s.ID, client.LoggedURL(p.Issuer), pin.Issuer)
		}
		return nil
	}
	pin = issuerPin{ClientID: s.Auth.ClientID, Issuer: p.Issuer}
	verdict, err := rg.putClient(ctx, s.ID, pinnedProvider, pin, time.Time{}, stored.Secret)
	if err == nil && verdict != storage.OK { // another request was first
		return rg.pinIssuer(ctx, s, p)
	}
	return err
}

// clientBelongs reports whether the operator's client is the one that tokens are
// bound to, at the provider that they are bound to. Another provider can know a client of the same
// name, and must not be shown this one's secret (MCP authorization,
// authorization server binding).
func (rg *registrar) clientBelongs(ctx context.Context, s *config.Server, to binding) (bool, error) {
	switch {
	case s.Auth.ClientID != to.ClientID:
		return false, nil
	case s.Auth.Issuer != "" || s.Auth.TokenEndpoint != "": // the operator said where it belongs
		return client.SameIssuer(s.Auth.Issuer, to.Provider) || s.Auth.TokenEndpoint == to.TokenEndpoint, nil
	}
	var pin issuerPin
	_, err := rg.readClient(ctx, s.ID, pinnedProvider, &pin)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil // the operator had said where it belongs, and takes that back
	}
	return pin.ClientID == to.ClientID && client.SameIssuer(pin.Issuer, to.Provider), err
}

// registeredClient returns our registration at a provider, and registers us
// where there is none that the provider still knows. All who ask at the same
// time share one.
func (rg *registrar) registeredClient(ctx context.Context, s *config.Server, p *client.Provider, owner string) (*client.Credentials, error) {
	v, err, _ := rg.registering.Do(s.ID+" "+p.Issuer, func() (any, error) {
		ctx := context.WithoutCancel(ctx) // others wait for it too
		rs, err := rg.load(ctx, s.ID, p.Issuer)
		if err != nil {
			return nil, err
		}
		r := rs.current(rg.profile(s).RedirectURI)
		if r == nil {
			return rg.register(ctx, s, p, rs.ID, false)
		}
		state, err := rg.check(ctx, s, p, rs, owner)
		if err != nil {
			return nil, err
		}
		switch state {
		case forgotten:
			if err := rg.forgetClient(ctx, s.ID, p.Issuer, r.ID); err != nil {
				return nil, err
			}
			return rg.register(ctx, s, p, "", false)
		case seemsForgotten:
			return rg.replace(ctx, s, p, &r.Credentials)
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
func (rg *registrar) register(ctx context.Context, s *config.Server, p *client.Provider, former string, doubted bool) (*client.Credentials, error) {
	made, err := rg.oauthClient(s).Register(ctx, p)
	if err != nil {
		return nil, err
	}
	r := registration{Credentials: made.Credentials, RedirectURI: made.RedirectURI, Ends: made.SecretEnds}
	kept := r.Credentials
	err = rg.changeRegistrations(ctx, s.ID, p.Issuer, func(rs *registrations) bool {
		if current := rs.current(r.RedirectURI); current != nil && current.ID != former {
			kept = current.Credentials // another request registered at the same time
			return false
		}
		rs.retire()
		rs.remove(r.ID) // some providers give the same one again, with another secret
		rs.registration = r
		if doubted {
			rs.Unproven, rs.ReplacedAt, rs.Replaced = true, rg.storeNow(), rs.Replaced+1
		}
		return true
	})
	return &kept, err
}

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
func (rg *registrar) Registrations(ctx context.Context) ([]RegistrationOverview, error) {
	stored, err := rg.deps.Store.UpstreamClients(ctx, rg.cfg.Issuer, rg.deps.Now())
	if err != nil {
		return nil, err
	}
	all := make([]RegistrationOverview, 0, len(stored))
	for _, c := range stored {
		if c.Provider == pinnedProvider {
			continue
		}
		rs, err := rg.load(ctx, c.Server, c.Provider)
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
func (rg *registrar) RetireRegistrations(ctx context.Context, server string) error {
	all, err := rg.Registrations(ctx)
	if err != nil {
		return err
	}
	found := false
	for _, r := range all {
		if r.Server != server {
			continue
		}
		found = true
		if err := rg.changeRegistrations(ctx, server, r.Provider, func(rs *registrations) bool {
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
