package server

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// introspection is RFC 7662 section 2.2. The zero value says inactive, and
// nothing else.
type introspection struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  []string `json:"aud,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	ExpiresAt int64    `json:"exp,omitempty"`
	IssuedAt  int64    `json:"iat,omitempty"`
}

// introspectionEndpoint is RFC 7662. Only a client that
// proved who it is may ask, about its own access tokens or, where the operator
// allows it, about all of this issuer.
type introspectionEndpoint struct {
	cfg          *config.Site
	policy       *grants.Policy
	authenticate authenticate
	tokens       *tokens.AccessTokens
	store        storage.AuthStore
	log          *zap.Logger
	now          func() time.Time
}

func (e *introspectionEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := e.inspect(w, r)
	if err != nil {
		oauth.WriteError(w, e.log, err)
		return
	}
	oauth.WriteJSON(w, http.StatusOK, answer)
}

func (e *introspectionEndpoint) inspect(w http.ResponseWriter, r *http.Request) (*introspection, error) {
	form, err := oauth.ParseForm(w, r)
	if err != nil {
		return nil, err
	}
	client, err := e.authenticate(r, form)
	if err != nil {
		return nil, err
	}
	if !client.Proved {
		return nil, &oauth.Error{Status: http.StatusUnauthorized, Code: "invalid_client", Description: "Only a client that authenticates may introspect tokens."}
	}
	presented := form.Get("token")
	if presented == "" {
		return nil, oauth.NewError("invalid_request", "The token is missing.")
	}
	if !e.tokens.Issued(presented) {
		return &introspection{}, nil
	}
	token, err := e.store.AccessToken(r.Context(), storage.HashOf(presented), e.now())
	if errors.Is(err, storage.ErrNotFound) {
		return &introspection{}, nil
	}
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	if token.Issuer != e.cfg.Issuer || (token.ClientID != client.ID && !client.Introspect) {
		return &introspection{}, nil
	}
	return e.describe(&token), nil
}

// describe says of a token what the gate would: where its identity may not go
// any more, it is not good for anything.
func (e *introspectionEndpoint) describe(t *storage.AccessToken) *introspection {
	var audience []string
	for _, s := range e.policy.ServersAt(t.Audience) {
		if e.policy.Allows(t.Identity) && e.policy.MayUse(t.Identity, s) {
			audience = append(audience, s.Resource)
		}
	}
	if len(audience) == 0 {
		return &introspection{}
	}
	return &introspection{
		Active: true, Scope: strings.Join(t.Scope, " "), ClientID: t.ClientID, TokenType: "Bearer", Subject: t.Identity.Subject,
		Audience: audience, Issuer: t.Issuer, ExpiresAt: t.ExpiresAt.Unix(), IssuedAt: t.IssuedAt.Unix(),
	}
}
