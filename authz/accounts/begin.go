package accounts

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// tripLifetime is how long a person may take at the provider.
	tripLifetime = 15 * time.Minute
	// beginTimeout is how long a person waits to be sent there.
	beginTimeout = 30 * time.Second
)

// Trip is a person's way to a provider and back.
type Trip struct {
	Server string
	// Owner will own the connection.
	Owner string
	// Browser is the hash of the cookie that the answer must come with.
	Browser storage.Hash
	// ReturnTo is where the person goes on afterwards: a path of ours.
	ReturnTo string
	// Scopes are asked for besides what the server needs and the connection has.
	Scopes []string
	// KeepUntil is when the connection of a pending flow is forgotten. Zero
	// for any other owner.
	KeepUntil time.Time
	// Once, unless zero, names what lets the person connect something: of all
	// trips with the same, at most one makes a connection.
	Once storage.Hash
	// LastDisconnect is that of the connection when what Once names was made.
	LastDisconnect uint64
	// Authentication is the person, and where they are: when they come back, they
	// must still be there. Zero for storage.SharedOwner, which is nobody's.
	Authentication storage.Authentication
}

// trip is what is recorded, sealed, of a Trip: all that its answer is checked
// against (MCP authorization, authorization response validation).
type trip struct {
	Link        link   `json:"link"`
	Verifier    string `json:"verifier"`
	RedirectURI string `json:"redirect_uri"`
	// CheckIss tells that the issuer is known, IssRequired that the provider
	// says it always sends iss.
	CheckIss       bool                   `json:"check_iss"`
	IssRequired    bool                   `json:"iss_required"`
	ReturnTo       string                 `json:"return_to"`
	KeepUntil      time.Time              `json:"keep_until,omitzero"`
	Authentication storage.Authentication `json:"presence,omitzero"`
	Seen           snapshot               `json:"seen,omitzero"`
	Once           storage.Hash           `json:"once,omitzero"`
}

// Begin records a trip and returns the provider's URL to send the browser to.
// It is called only after the person agreed on a page of ours: before that,
// nothing is recorded that an answer could belong to.
func (b *Broker) Begin(ctx context.Context, t Trip) (authorizeURL string, err error) {
	s := b.servers[t.Server]
	if !s.isConnectedBy(t.Owner) {
		return "", problem(UnknownServer, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, beginTimeout)
	defer cancel()
	p, err := b.discover(ctx, s)
	if err != nil {
		return "", err
	}
	key := b.key(t.Owner, s)
	existing, err := b.find(ctx, key)
	if err != nil {
		return "", err
	}
	before, err := b.snapshot(ctx, key, existing, s, t.Authentication)
	if err != nil {
		return "", err
	}
	if t.Once != (storage.Hash{}) {
		before.Disconnect = t.LastDisconnect
	}
	scopes := p.RequestedScopes(t.Scopes, existing.Scopes)
	if err := b.oauthClient(s).CheckScopes(scopes); err != nil {
		return "", asProblem(err)
	}
	c, err := b.clientFor(ctx, s, p, t.Owner)
	if err != nil {
		return "", err
	}
	l := newLink(s, p, c, scopes)
	record := trip{
		Link: l, Verifier: oauth.NewSecret(""), RedirectURI: b.profile(s).RedirectURI,
		CheckIss: p.KnownIssuer, IssRequired: bool(p.AuthorizationResponseIss),
		ReturnTo: t.ReturnTo, KeepUntil: t.KeepUntil, Authentication: t.Authentication, Seen: before, Once: t.Once,
	}
	state := oauth.NewSecret("")
	hash := storage.HashOf(state)
	if err := b.deps.Store.SaveConnectState(ctx, storage.ConnectState{
		Hash: hash, ConnectionKey: key, Browser: t.Browser, Provider: l.Provider,
		Secret:    b.seal(record, tripContext(key, hash)...),
		ExpiresAt: b.deps.Now().Add(tripLifetime),
	}); err != nil {
		return "", err
	}
	b.deps.Shared.departures.left(b.departureKey(s, c.ID), t.Owner, b.deps.Now())
	b.Started(s.ID, b.deps.Now().Add(tripLifetime))
	request := client.AuthorizationRequest{
		ClientID: l.ClientID, RedirectURI: record.RedirectURI, State: state, Verifier: record.Verifier, Resource: l.Resource, Scopes: l.Scopes,
	}
	authorizeURL, err = request.URL(p.AuthorizationEndpoint, s.Quirks)
	return authorizeURL, asProblem(err)
}

// isConnectedBy reports whether the owner may have a connection to the server
// that is made at a provider. s may be nil.
func (s *Server) isConnectedBy(owner string) bool {
	if s == nil || owner == "" {
		return false
	}
	if owner == storage.SharedOwner {
		return s.Mode == OAuth
	}
	return s.Mode == PerUserOAuth
}

func tripContext(k storage.ConnectionKey, state storage.Hash) []string {
	return []string{"trip", k.Issuer, k.Owner, k.Server, string(state[:])}
}

func newLink(s *Server, p *client.Provider, c *client.Credentials, scopes []string) link {
	return link{
		Origin: s.origin(), Provider: p.Issuer, TokenEndpoint: p.TokenEndpoint, RevocationEndpoint: p.RevocationEndpoint,
		ClientID: c.ID, AuthMethod: c.AuthMethod, Resource: p.Resource, Scopes: scopes,
	}
}
