package accounts

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

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
	scopes := requestedScopes(p, t.Scopes, existing.Scopes)
	if err := checkScopes(s, scopes); err != nil {
		return "", err
	}
	c, err := b.clientFor(ctx, s, p, t.Owner)
	if err != nil {
		return "", err
	}
	l := newLink(s, p, c, scopes)
	record := trip{
		Link: l, Verifier: oauth.NewSecret(""), RedirectURI: b.redirectURI(s),
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
	return authorizationURL(s, p.AuthorizationEndpoint, record, state)
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

func newLink(s *Server, p *provider, c *client, scopes []string) link {
	return link{
		Origin: s.origin(), Provider: p.Issuer, TokenEndpoint: p.TokenEndpoint, RevocationEndpoint: p.RevocationEndpoint,
		ClientID: c.ID, AuthMethod: c.AuthMethod, Resource: p.Resource, Scopes: scopes,
	}
}

// requestedScopes returns what to ask for: what the server needs and, when a
// call lacked a scope, that one together with what the connection has (MCP
// authorization, step-up). offline_access is added where the provider knows
// it, as without it some issue no refresh token.
func requestedScopes(p *provider, extra, existing []string) []string {
	scopes := p.Scopes
	if len(extra) > 0 {
		scopes = oauth.UnionScopes(existing, scopes, extra)
	}
	if slices.Contains(p.ScopesSupported.Scopes(), oauth.OfflineAccess) {
		scopes = oauth.UnionScopes(scopes, []string{oauth.OfflineAccess})
	}
	return scopes
}

// authorizationURL returns the authorization request (RFC 6749 section 4.1.1,
// RFC 7636 section 4.3, RFC 8707 section 2.1).
func authorizationURL(s *Server, endpoint string, t trip, state string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", problemf(ProviderUnusable, "malformed authorization_endpoint")
	}
	q := u.Query() // an endpoint may have its own (RFC 6749 section 3.1)
	if slices.Contains(t.Link.Scopes, oauth.OfflineAccess) {
		// OpenID Connect Core section 11: without it, offline_access is ignored.
		q.Set("prompt", "consent")
	}
	for name, value := range s.Quirks.AuthorizeParams {
		q.Set(name, value)
	}
	q.Set("response_type", "code")
	q.Set("client_id", t.Link.ClientID)
	q.Set("redirect_uri", t.RedirectURI)
	q.Set("state", state)
	q.Set("code_challenge", oauth.CodeChallenge(t.Verifier))
	q.Set("code_challenge_method", oauth.MethodS256)
	for name, value := range map[string]string{
		"scope": strings.Join(t.Link.Scopes, s.scopeSeparator()), "resource": t.Link.Resource,
	} {
		if q.Del(name); value != "" {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func (s *Server) scopeSeparator() string {
	if s.Quirks.ScopeSeparator != "" {
		return s.Quirks.ScopeSeparator
	}
	return " "
}
