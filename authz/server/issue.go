package server

import (
	"context"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/signing"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// tokenIssuer makes the tokens of a grant.
type tokenIssuer struct {
	cfg     *config.Site
	access  *tokens.AccessTokens
	refresh *tokens.RefreshTokens
	keys    *signing.Keys // for access tokens that are JWTs
	// ahead is how far the clock is ahead by which others are told of time.
	ahead func() time.Duration
}

// tokenResponse is RFC 6749 section 5.1.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
	// IssuedType is of a token exchange (RFC 8693 section 2.2.1).
	IssuedType string `json:"issued_token_type,omitempty"`
}

// issuedTokens is what one exchange hands to a client, and what is kept, sealed,
// for a client that loses the response to a refresh.
type issuedTokens struct {
	Access     string    `json:"a"`
	Refresh    string    `json:"r,omitempty"`
	Scope      []string  `json:"s,omitempty"`
	Audience   []string  `json:"u"`
	IssuedType string    `json:"-"`
	ExpiresAt  time.Time `json:"e"` // of the access token; by the store's clock where it is kept
}

func (t *issuedTokens) response(now time.Time) *tokenResponse {
	return &tokenResponse{
		AccessToken: t.Access, TokenType: "Bearer", ExpiresIn: max(0, int64(t.ExpiresAt.Sub(now)/time.Second)),
		RefreshToken: t.Refresh, Scope: strings.Join(t.Scope, " "), IssuedType: t.IssuedType,
	}
}

// issue makes the tokens of one exchange and their records. No access token
// is good after until (see Grants.GoodUntil), nothing outlives the grant, and the
// grant never its absolute end. Where there is no refresh token, the one access
// token is all that the person approved, so it lives as long as the grant.
func (i *tokenIssuer) issue(ctx context.Context, g *storage.Grant, until time.Time, audience []*config.Server, scope []string, refresh bool, now time.Time) (*issuedTokens, storage.Issue, error) {
	grantEnd, tokenEnd := until, until
	if refresh {
		grantEnd = earliest(g.AbsoluteExpiresAt, now.Add(time.Duration(i.cfg.RefreshTokenLifetime)))
		tokenEnd = earliest(earliest(grantEnd, until), now.Add(time.Duration(i.cfg.AccessTokenLifetime)))
	}
	t := &issuedTokens{Scope: grants.LimitScope(scope, audience), Audience: grants.ResourcesOf(audience), ExpiresAt: tokenEnd}
	records := storage.Issue{
		Access: storage.AccessToken{
			GrantID: g.ID, Issuer: g.Issuer, ClientID: g.ClientID, Identity: g.Identity,
			Scope: t.Scope, Audience: t.Audience, IssuedAt: now, ExpiresAt: t.ExpiresAt,
		},
		GrantExpiresAt: grantEnd,
	}
	var err error
	if t.Access, err = i.accessToken(ctx, g, t, tokens.ContentsOf(&records.Access), now); err != nil {
		return nil, storage.Issue{}, oauth.Unavailable(err)
	}
	records.Access.Hash = storage.HashOf(t.Access)
	if refresh {
		t.Refresh = i.refresh.New(g.ID)
		records.Refresh = &storage.RefreshToken{
			Hash: storage.HashOf(t.Refresh), GrantID: g.ID, Issuer: g.Issuer, ClientID: g.ClientID, ExpiresAt: grantEnd,
		}
	}
	return t, records, nil
}

// accessToken makes an access token, in the format that is configured.
func (i *tokenIssuer) accessToken(ctx context.Context, g *storage.Grant, t *issuedTokens, of tokens.Contents, now time.Time) (string, error) {
	if i.cfg.AccessTokenFormat != config.JWTTokens {
		return i.access.New(of), nil
	}
	claims := i.access.NewClaims(tokens.Claims{
		Issuer: g.Issuer, Subject: g.Identity.Subject, ClientID: g.ClientID, Audience: t.Audience, Scope: strings.Join(t.Scope, " "),
		ExpiresAt: t.ExpiresAt.Add(i.ahead()).Unix(), IssuedAt: now.Add(i.ahead()).Unix(),
	}.WithChosen(g.ChosenOf(t.Audience)), of)
	person := signing.ClaimsOf(&g.Identity, i.cfg.SignIn, i.cfg.AccessTokenClaims)
	return i.keys.Sign(ctx, signing.AccessTokenType, signing.Object(claims, person), t.ExpiresAt)
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// recordReuse records that a code or refresh token was used again. The store has
// revoked its grant, unless that had ended before.
func recordReuse(ctx context.Context, events *event.Recorder, what, clientID string, grantIDs []string) {
	e := event.Event{
		Kind: event.TokenReuseDetected, Reason: what, Client: clientID, By: event.BySite, Grant: strings.Join(grantIDs, ","),
		Detail: "grant revoked",
	}
	if len(grantIDs) == 0 {
		e.Detail = "its grant had ended before"
	}
	events.Record(ctx, e)
}
