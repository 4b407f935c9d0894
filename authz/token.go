package authz

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// tokenResponse is RFC 6749 section 5.1.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

// token is the token endpoint (OAuth 2.1 section 3.2).
func (as *AuthorizationServer) token(w http.ResponseWriter, r *http.Request) {
	response, err := as.exchange(w, r)
	if err != nil {
		oauth.WriteError(w, as.log, err)
		return
	}
	oauth.WriteJSON(w, http.StatusOK, response)
}

func (as *AuthorizationServer) exchange(w http.ResponseWriter, r *http.Request) (*tokenResponse, error) {
	form, err := oauth.ParseForm(w, r)
	if err != nil {
		return nil, err
	}
	var redeem func(context.Context, *authenticated, url.Values) (*issuedTokens, error)
	grantType := form.Get("grant_type")
	switch grantType {
	case oauth.GrantAuthorizationCode:
		redeem = as.redeemCode
	case oauth.GrantRefreshToken:
		redeem = as.refresh
	case "":
		return nil, oauth.NewError("invalid_request", "The grant_type is missing.")
	default:
		return nil, oauth.NewError("unsupported_grant_type", "The grant types are authorization_code and refresh_token.")
	}
	client, err := as.authenticateClient(r, form)
	if err != nil {
		return nil, err
	}
	if !client.AllowsGrant(grantType) {
		return nil, oauth.NewError("unauthorized_client", "The client did not register this grant type.")
	}
	issued, err := redeem(r.Context(), client, form)
	if err != nil {
		return nil, err
	}
	return issued.response(as.deps.Now()), nil
}

// issuedTokens is what one exchange hands to a client, and what is kept, sealed, for
// a client that loses the response to a refresh.
type issuedTokens struct {
	Access    string    `json:"a"`
	Refresh   string    `json:"r,omitempty"`
	Scope     []string  `json:"s,omitempty"`
	Audience  []string  `json:"u"`
	ExpiresAt time.Time `json:"e"` // of the access token
}

func (t *issuedTokens) response(now time.Time) *tokenResponse {
	return &tokenResponse{
		AccessToken: t.Access, TokenType: "Bearer", ExpiresIn: max(0, int64(t.ExpiresAt.Sub(now)/time.Second)),
		RefreshToken: t.Refresh, Scope: strings.Join(t.Scope, " "),
	}
}

// issue makes the tokens of one exchange and their records. No access token
// is good after until (see goodUntil), nothing outlives the grant, and the grant
// never its absolute end. Where there is no refresh
// token, the one access token is all that the person approved, so it lives as
// long as the grant.
func (as *AuthorizationServer) issue(g *storage.Grant, until time.Time, audience []Server, scope []string, refresh bool, now time.Time) (*issuedTokens, storage.Issue) {
	grantEnd, tokenEnd := until, until
	if refresh {
		grantEnd = earliest(g.AbsoluteExpiresAt, now.Add(as.cfg.Lifetimes.RefreshToken))
		tokenEnd = earliest(earliest(grantEnd, until), now.Add(as.cfg.Lifetimes.AccessToken))
	}
	t := &issuedTokens{
		Access: as.tokens.New(), Scope: limitScope(scope, audience), Audience: resourcesOf(audience), ExpiresAt: tokenEnd,
	}
	records := storage.Issue{
		Access: storage.AccessToken{
			Hash: storage.HashOf(t.Access), GrantID: g.ID, Issuer: g.Issuer, ClientID: g.ClientID, Identity: g.Identity,
			Scope: t.Scope, Audience: t.Audience, IssuedAt: now, ExpiresAt: t.ExpiresAt,
		},
		GrantExpiresAt: grantEnd,
	}
	if refresh {
		t.Refresh = as.refreshTokens.New(g.ID)
		records.Refresh = &storage.RefreshToken{
			Hash: storage.HashOf(t.Refresh), GrantID: g.ID, Issuer: g.Issuer, ClientID: g.ClientID, ExpiresAt: grantEnd,
		}
	}
	return t, records
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// replayed reports that a code or refresh token was used again. The store has
// revoked its grant, unless that had ended before.
func (as *AuthorizationServer) replayed(what, clientID string, grantIDs []string) {
	if len(grantIDs) == 0 {
		as.log.Warn(what+" reuse detected; its grant had ended before", zap.String("client_id", clientID))
		return
	}
	as.log.Warn(what+" reuse detected; grant revoked", zap.String("client_id", clientID), zap.Strings("grant_ids", grantIDs))
}
