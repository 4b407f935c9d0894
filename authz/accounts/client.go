package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// errClientGone: the client that a link was made with is no longer ours, so
// its tokens cannot be refreshed.
var errClientGone = errors.New("the client that got the tokens is gone")

// clientFor returns what we are at a provider, registering where needed:
// the operator's client, else our metadata document, else a dynamic
// registration (MCP authorization, client registration approaches).
func (b *Broker) clientFor(ctx context.Context, s *Server, p *client.Provider, owner string) (*client.Credentials, error) {
	profile := b.profile(s)
	switch {
	case s.Client != nil:
		if err := b.pinIssuer(ctx, s, p); err != nil {
			return nil, err
		}
		return s.configuredClient(p.AuthMethods), nil
	case bool(p.ClientDocuments) && profile.OffersDocument(s.Quirks, p.Issuer):
		return profile.DocumentCredentials(s.Quirks, p.AuthMethods), nil
	case p.RegistrationEndpoint != "":
		return b.registeredClient(ctx, s, p, owner)
	case bool(p.ClientDocuments):
		return nil, problemf(NotRegistered, "%s takes metadata documents alone, and this site offers it none: it has to be https and reachable from the internet; "+
			"configure client_id for server %s, or metadata_document on if the provider can fetch %s", p.Issuer, s.ID, profile.DocumentID)
	}
	return nil, problemf(NotRegistered, "%s offers no registration; configure client_id for server %s", p.Issuer, s.ID)
}

func (s *Server) configuredClient(supported []string) *client.Credentials {
	return &client.Credentials{
		ID: s.Client.ID, Secret: s.Client.Secret,
		AuthMethod: s.Quirks.AuthMethodFor(s.Client.Secret != "", supported),
	}
}

// clientOf returns the client that a link was made with, or errClientGone.
func (b *Broker) clientOf(ctx context.Context, s *Server, l link) (*client.Credentials, error) {
	if s.Client != nil {
		belongs, err := b.clientBelongs(ctx, s, l)
		if err != nil {
			return nil, err
		}
		if !belongs {
			return nil, errClientGone
		}
		return &client.Credentials{ID: l.ClientID, Secret: s.Client.Secret, AuthMethod: l.AuthMethod}, nil
	}
	if b.isDocument(s, l.ClientID) {
		return &client.Credentials{ID: l.ClientID, AuthMethod: l.AuthMethod}, nil
	}
	rs, err := b.registrations(ctx, s, l.Provider)
	if err != nil {
		return nil, err
	}
	if r := rs.byID(l.ClientID); r != nil {
		return &client.Credentials{ID: r.ID, Secret: r.Secret, AuthMethod: l.AuthMethod}, nil
	}
	return nil, errClientGone
}

// isDocument reports whether a client ID is a document of ours for the server.
func (st *site) isDocument(s *Server, clientID string) bool {
	profile := st.profile(s)
	return profile.IsDocument(clientID)
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
func (b *Broker) pinIssuer(ctx context.Context, s *Server, p *client.Provider) error {
	if !p.Discovered {
		return nil // the operator said where the client belongs
	}
	var pin issuerPin
	stored, err := b.readClient(ctx, s, pinnedProvider, &pin)
	if errors.Is(err, seal.ErrOpen) { // without it, nothing says that the secret belongs here
		return problemf(ProviderUnusable, "the record of which provider server %s uses its client_id at does not open; configure issuer", s.ID)
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if pin.ClientID == s.Client.ID {
		if !client.SameIssuer(pin.Issuer, p.Issuer) {
			return problemf(ProviderUnusable, "server %s names another provider, %s, than the client_id was used at, %s; configure issuer",
				s.ID, client.LoggedURL(p.Issuer), pin.Issuer)
		}
		return nil
	}
	pin = issuerPin{ClientID: s.Client.ID, Issuer: p.Issuer}
	verdict, err := b.putClient(ctx, s, pinnedProvider, pin, time.Time{}, stored.Secret)
	if err == nil && verdict != storage.OK { // somebody else was first
		return b.pinIssuer(ctx, s, p)
	}
	return err
}

// clientBelongs reports whether the operator's client is the one of a link, at
// the provider of the link. Another provider can know a client of the same
// name, and must not be shown this one's secret (MCP authorization,
// authorization server binding).
func (b *Broker) clientBelongs(ctx context.Context, s *Server, l link) (bool, error) {
	switch {
	case s.Client.ID != l.ClientID:
		return false, nil
	case s.Issuer != "" || s.TokenEndpoint != "": // the operator said where it belongs
		return client.SameIssuer(s.Issuer, l.Provider) || s.TokenEndpoint == l.TokenEndpoint, nil
	}
	var pin issuerPin
	_, err := b.readClient(ctx, s, pinnedProvider, &pin)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil // the operator had said where it belongs, and takes that back
	}
	return pin.ClientID == l.ClientID && client.SameIssuer(pin.Issuer, l.Provider), err
}

// readClient reads into v what we are at a provider, and returns the record as
// it is stored. What an older key sealed is sealed anew, so that the key can
// leave the ring.
func (b *Broker) readClient(ctx context.Context, s *Server, provider string, v any) (storage.UpstreamClient, error) {
	now := b.deps.Now()
	c, err := b.deps.Store.UpstreamClient(ctx, b.cfg.Issuer, provider, s.ID, now)
	if err != nil {
		return c, err
	}
	if err := b.open(c.Secret, v, b.clientContext(provider, s.ID)...); err != nil || b.deps.Keys.Current(c.Secret) {
		return c, err
	}
	older := c.Secret
	c.Secret = b.seal(v, b.clientContext(provider, s.ID)...)
	if verdict, err := b.deps.Store.PutUpstreamClient(ctx, c, older, now); err != nil || verdict != storage.OK {
		c.Secret = older // somebody changed it; the next reader seals it
		return c, err
	}
	return c, nil
}

// putClient stores what we are at a provider in place of what replaces names,
// as storage.ConnectionStore does.
func (b *Broker) putClient(ctx context.Context, s *Server, provider string, v any, expires time.Time, replaces []byte) (storage.Verdict, error) {
	now := b.deps.Now()
	return b.deps.Store.PutUpstreamClient(ctx, storage.UpstreamClient{
		Issuer: b.cfg.Issuer, Provider: provider, Server: s.ID,
		Secret:    b.seal(v, b.clientContext(provider, s.ID)...),
		CreatedAt: now, ExpiresAt: expires,
	}, replaces, now)
}

func (b *Broker) clientContext(provider, server string) []string {
	return []string{"upstream client", b.cfg.Issuer, provider, server}
}
