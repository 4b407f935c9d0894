package accounts

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

const (
	// connectLifetime is how long a person may take at the provider.
	connectLifetime = 15 * time.Minute
	// startTimeout is how long a person waits to be sent there.
	startTimeout = 30 * time.Second
)

// connector connects people: at a provider, or with a key that they paste.
type connector struct {
	*site
	registrar   *registrar
	connections *connections
	statuses    *statuses
	// requested has the scopes that pages were told, by server.
	requested sync.Map
	asking    singleflight.Group
}

// ConnectRequest is for a person who is to be sent to a provider and back.
type ConnectRequest struct {
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
	// SingleUse, unless zero, names what lets the person connect something: of
	// all requests with the same, at most one makes a connection.
	SingleUse storage.Hash
	// LastDisconnect is that of the connection when what SingleUse names was made.
	LastDisconnect uint64
	// Authentication is the person, and where they are: when they come back, they
	// must still be there. Zero for storage.SharedOwner, which is nobody's.
	Authentication storage.Authentication
}

// pendingConnect is what is recorded, sealed, of a ConnectRequest: all that its
// answer is checked against (MCP authorization, authorization response
// validation). Another process may get the answer, so KeepUntil is sealed by the
// store's clock.
type pendingConnect struct {
	Binding     binding `json:"link"`
	Verifier    string  `json:"verifier"`
	RedirectURI string  `json:"redirect_uri"`
	// CheckIss is set if the issuer is known, IssRequired if the provider says
	// that it always sends iss.
	CheckIss       bool                   `json:"check_iss"`
	IssRequired    bool                   `json:"iss_required"`
	Userinfo       string                 `json:"userinfo,omitempty"` // tells the account's name
	ReturnTo       string                 `json:"return_to"`
	KeepUntil      time.Time              `json:"keep_until,omitzero"`
	Authentication storage.Authentication `json:"presence,omitzero"`
	Before         snapshot               `json:"seen,omitzero"`
	SingleUse      storage.Hash           `json:"once,omitzero"`
}

// Start records a request and returns the provider's URL to send the browser to.
// It is called only after the person agreed on a page of ours: before that,
// nothing is recorded that an answer could belong to.
func (cn *connector) Start(ctx context.Context, r ConnectRequest) (authorizeURL string, err error) {
	s := cn.server(r.Server)
	if !connectable(s, r.Owner) {
		return "", &client.Error{Problem: UnknownServer}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := cn.discover(ctx, s)
	if err != nil {
		return "", err
	}
	key := cn.keyOf(r.Owner, r.Server)
	storage.ReadAhead(ctx, cn.deps.Store, storage.Wanted{Issuer: cn.cfg.Issuer, Connection: key, LastDisconnect: true})
	existing, err := cn.find(ctx, key)
	if err != nil {
		return "", err
	}
	if err := cn.checkRoom(ctx, s, key, r.Authentication); err != nil {
		return "", err
	}
	before, err := cn.connections.snapshot(ctx, key, existing, r.Authentication)
	if err != nil {
		return "", err
	}
	if r.SingleUse != (storage.Hash{}) {
		before.Disconnect = r.LastDisconnect
	}
	scopes := p.RequestedScopes(r.Scopes, existing.Scopes)
	if err := client.CheckScopes("server "+s.ID, scopes); err != nil {
		return "", err
	}
	c, err := cn.registrar.clientFor(ctx, s, p, r.Owner)
	if err != nil {
		return "", err
	}
	pending := pendingConnect{
		Binding: bind(s, p, c, scopes), Verifier: oauth.NewSecret(""), RedirectURI: cn.profile(s).RedirectURI,
		CheckIss: p.KnownIssuer, IssRequired: bool(p.AuthorizationResponseIss), Userinfo: p.UserinfoOf(scopes),
		ReturnTo: r.ReturnTo, KeepUntil: cn.toStore(r.KeepUntil), Authentication: r.Authentication, Before: before, SingleUse: r.SingleUse,
	}
	state := oauth.NewSecret("")
	hash, expires := storage.HashOf(state), cn.deps.Now().Add(connectLifetime)
	if err := cn.deps.Store.SaveConnectState(ctx, storage.ConnectState{
		Hash: hash, ConnectionKey: key, Browser: r.Browser, Session: r.Authentication.Session, Provider: pending.Binding.Provider,
		Secret:    cn.seal(pending, sealed.ConnectState(key, hash)...),
		ExpiresAt: expires,
	}); err != nil {
		return "", err
	}
	cn.registrar.attempted(s.ID, c.ID, Attempt{What: ownerSent, Owner: storage.HashOf(r.Owner)})
	cn.statuses.Started(s.ID, expires)
	cn.deps.Events.Record(ctx, event.Event{
		Kind: event.ConnectionStarted, Server: r.Server, Connection: existing.ID, Provider: pending.Binding.Provider,
		Person: r.Authentication.Identity.Subject, Identity: r.Authentication.Identity.Kind, Flow: r.Authentication.FlowID,
	})
	request := client.AuthorizationRequest{
		ClientID: c.ID, RedirectURI: pending.RedirectURI, State: state, Verifier: pending.Verifier, Resource: p.Resource, Scopes: scopes,
		Prompt: client.OfflinePrompt(scopes),
	}
	authorizeURL, err = request.URL(p.AuthorizationEndpoint, s.Auth.Quirks)
	return authorizeURL, err
}

// connectable reports whether the owner may have a connection to the server
// that is made at a provider. s may be nil.
func connectable(s *config.Server, owner string) bool {
	if s == nil || owner == "" {
		return false
	}
	if owner == storage.SharedOwner {
		return s.Auth.Mode == config.OAuth
	}
	return s.Auth.Mode == config.PerUserOAuth
}

// bind returns what tokens that are asked for now are bound to.
func bind(s *config.Server, p *client.Provider, c *client.Credentials, scopes []string) binding {
	return binding{
		Origin: originOf(s), Provider: p.Issuer, TokenEndpoint: p.TokenEndpoint, RevocationEndpoint: p.RevocationEndpoint,
		ClientID: c.ID, AuthMethod: c.AuthMethod, Resource: p.Resource, Scopes: scopes,
	}
}

const (
	// scopesTimeout is how long a page waits to be told.
	scopesTimeout = 3 * time.Second
	// scopesTTL is how long the answer is good, scopesRetry how long nobody asks
	// again after there was none.
	scopesTTL   = 10 * time.Minute
	scopesRetry = time.Minute
)

// requestedScopes are what a provider is asked for.
type requestedScopes struct {
	scopes []string
	until  time.Time
}

// RequestedScopes returns the scopes that a provider is asked for when somebody
// connects the server, for the page on which they agree to that. It returns none
// when none are asked for, or when the server does not tell right now. The
// server is asked rarely, however often people look.
func (cn *connector) RequestedScopes(ctx context.Context, server string) []string {
	s := cn.server(server)
	if s == nil || s.Auth.Mode != config.OAuth && s.Auth.Mode != config.PerUserOAuth {
		return nil
	}
	server = s.ID // the same for all accounts there
	if len(s.Auth.Scopes) > 0 {
		return s.Auth.Scopes
	}
	now := cn.deps.Now()
	if known, ok := cn.knownScopes(server, now); ok {
		return known.scopes
	}
	found, _, _ := cn.asking.Do(server, func() (any, error) {
		if known, ok := cn.knownScopes(server, now); ok { // since we looked
			return known, nil
		}
		// Whoever looked first may go away; others wait for the answer too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), scopesTimeout)
		defer cancel()
		answer := requestedScopes{until: now.Add(scopesRetry)}
		if p, err := cn.discover(ctx, s); err == nil {
			answer = requestedScopes{scopes: p.RequestedScopes(nil, nil), until: now.Add(scopesTTL)}
		}
		cn.requested.Store(server, answer)
		return answer, nil
	})
	return found.(requestedScopes).scopes
}

func (cn *connector) knownScopes(server string, now time.Time) (requestedScopes, bool) {
	known, ok := cn.requested.Load(server)
	if !ok || !now.Before(known.(requestedScopes).until) {
		return requestedScopes{}, false
	}
	return known.(requestedScopes), true
}
