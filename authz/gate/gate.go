package gate

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Deps is what the gates of one site share.
type Deps struct {
	Config       *config.Site
	Policy       *grants.Policy
	Grants       *grants.Grants
	Store        storage.AuthStore
	AccessTokens *tokens.AccessTokens
	Cache        *tokens.Cache
	StepUps      *StepUps
	// AllowWrongToken reports whether the sender of what is no token may be told
	// so, or has sent too many. Each call counts.
	AllowWrongToken func(*http.Request) bool
	// Landing, unless nil, is the page with which a person is answered who opens
	// the server's URL in a browser. It sends the status of missing tokens.
	Landing http.Handler
	Events  *event.Recorder
	Now     func() time.Time
}

// Gate decides about the calls of one MCP server.
type Gate struct {
	deps    Deps
	server  *config.Server
	found   atomic.Pointer[verdicts]
	origins oauth.Origins
	// plain and slashed are the challenges for the server's path without and
	// with a trailing slash: each names the metadata of the URL the client used.
	plain, slashed challenge
}

// New returns the gate of one of the configured servers.
func New(s *config.Server, deps Deps) *Gate {
	issuer := deps.Config.Issuer
	return &Gate{
		deps:    deps,
		server:  s,
		origins: deps.Config.Origins(),
		plain:   newChallenge(oauth.ResourceMetadataURL(issuer, s.Path, false), s.Scopes),
		slashed: newChallenge(oauth.ResourceMetadataURL(issuer, s.Path, true), s.Scopes),
	}
}

// refused says, in a word for the log, why a token is not good for this server. Who
// sent it is told no such thing.
type refused string

func (r refused) Error() string { return "authz: the token is not good for this server: " + string(r) }

// Reasons why a token does not pass. Any other error is a failure of the store.
const (
	notIssued     refused = "token_not_issued"     // neither a virtual key nor anything made here
	unknownToken  refused = "token_ended"          // made here; it expired, or was revoked
	expiredToken  refused = "token_expired"        // it, or the virtual key
	otherRecord   refused = "token_record_differs" // made by an earlier version, or somebody changed the store
	unprovedToken refused = "identity_unproved"    // its person has to sign in again
	otherServer   refused = "token_not_for_this"   // for another server, or its person may not use this one
	otherKey      refused = "key_not_for_this"     // a virtual key that is good for other servers
)

var errInsufficientScope = errors.New("authz: the token lacks a scope")

var errKeysUnknown = oauth.Unavailable(errors.New("the virtual keys in the store could not be read lately"))

// Check returns who makes the call, or answers the request itself and returns
// nil: 401, 400 and 403 with the challenge of RFC 6750 section 3, 403 for a
// web page that may not call this server, 429 for whoever guesses at virtual
// keys, 503 when the store fails, and any OPTIONS request. It changes nothing of a request that passes, and allocates
// nothing for it while the token is cached.
//
// It sets the CORS headers of the response when a web page makes the call. The
// upstream's own Access-Control headers must not be added to them.
func (g *Gate) Check(w http.ResponseWriter, r *http.Request) *tokens.Caller {
	if g.preflight(w, r) || !g.admitOrigin(w, r) {
		return nil
	}
	// Only this header: a token in the query would end up in logs, one in the
	// body or a cookie is not for us (RFC 6750 sections 2.2 and 2.3 not supported).
	token, kind := oauth.ParseBearer(r.Header["Authorization"])
	switch kind {
	case oauth.NoCredential:
		g.rejectMissing(w, r)
		return nil
	case oauth.MalformedCredential:
		g.reject(w, r, &malformedRequest, event.Event{})
		return nil
	}
	h := hashBearer(token)
	c, err := g.admit(r.Context(), h, token)
	if err == nil {
		return c
	}
	g.refuse(w, r, c, token, err)
	return nil
}

// admit returns the caller behind a virtual key or access token.
func (g *Gate) admit(ctx context.Context, h storage.Hash, token string) (*tokens.Caller, error) {
	found := g.current()
	c := g.keyCaller(found, h)
	if c == nil {
		return g.judge(ctx, found, h, token, nil)
	}
	if err := g.checkKey(c); err != nil {
		return &c.Caller, err
	}
	c.key.Use.Mark(g.deps.Now)
	return &c.Caller, nil
}

// judge returns the caller behind an access token, which is empty if its hash
// passed before, with that caller. With an error there may be a caller too: who the
// token was for.
func (g *Gate) judge(ctx context.Context, found *verdicts, h storage.Hash, token string, before *tokens.Caller) (*tokens.Caller, error) {
	now := g.deps.Now()
	e, generation := g.deps.Cache.Fresh(h, now)
	var err error
	known := e != nil
	if !known {
		if before == nil && !g.deps.AccessTokens.Issued(token) {
			return g.strangeKey(found, h)
		}
		e, err = g.deps.Cache.Read(ctx, h, now, generation, func(of tokens.Contents) bool {
			if before != nil {
				return of == before.Contents
			}
			return g.deps.AccessTokens.Bound(token, of)
		})
	}
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, unknownToken
	case errors.Is(err, tokens.ErrOtherRecord):
		return nil, otherRecord
	}
	if err != nil {
		return nil, err
	}
	if !now.Before(e.ExpiresAt) {
		return &e.Caller, expiredToken
	}
	if e.Admitted.Load() == found.id { // spares the call a walk through cold memory
		return &e.Caller, nil
	}
	t := &e.Token
	switch err := g.deps.Config.SignIn.Verified(t.Identity, now); {
	case errors.Is(err, identity.ErrProviderSilent):
		return &e.Caller, grants.ErrProviderSilent
	case err != nil:
		return &e.Caller, unprovedToken
	}
	if !g.deps.Policy.Admits(g.server, t.Issuer, t.Identity, t.Audience) {
		return &e.Caller, otherServer
	}
	for _, needed := range g.server.Scopes { // scopes are flat: none includes another
		if !slices.Contains(t.Scope, needed) {
			return &e.Caller, errInsufficientScope
		}
	}
	e.Admitted.Store(found.id)
	if !known && token != "" {
		g.passed(ctx, &e.Caller)
	}
	return &e.Caller, nil
}

// passed records that calls with a token pass. It is called when the token was read
// from the store, every five seconds at most, and never for what the cache knows.
func (g *Gate) passed(ctx context.Context, c *tokens.Caller) {
	g.deps.Events.Record(ctx, g.about(c, event.Event{Kind: event.CallPassed, Server: g.server.ID, By: event.ByClient}))
}

// hashBearer is storage.HashOf without an allocation for tokens of usual size.
func hashBearer(token string) storage.Hash {
	var buf [128]byte
	if len(token) > len(buf) {
		return hashLongBearer(token)
	}
	return sha256.Sum256(buf[:copy(buf[:], token)])
}

// hashLongBearer is hashBearer for JWTs. It is on its own for the room it takes.
//
//go:noinline
func hashLongBearer(token string) storage.Hash {
	var buf [2048]byte
	if len(token) > len(buf) {
		return storage.HashOf(token)
	}
	return sha256.Sum256(buf[:copy(buf[:], token)])
}
