package server

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
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
	// Details are as in the claims of a token (RFC 9396 section 9.2).
	Details []tokens.Detail `json:"authorization_details,omitempty"`
}

// introspectionEndpoint is RFC 7662. Only a client that
// proved who it is may ask, about its own access tokens or, where the operator
// allows it, about all of this issuer.
type introspectionEndpoint struct {
	authenticate authenticate
	validator    *grants.Validator
	// ahead is how far the clock is ahead by which others are told of time.
	ahead  func() time.Duration
	events *event.Recorder
}

func (e *introspectionEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := e.inspect(w, r)
	if err != nil {
		oauth.WriteError(r.Context(), w, e.events, event.RequestRefused, err)
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
	token, servers, err := e.validator.AccessToken(r.Context(), presented)
	if errors.Is(err, storage.ErrNotFound) {
		return &introspection{}, nil
	}
	if err != nil {
		return nil, err
	}
	if token.ClientID != client.ID && !client.Introspect {
		return &introspection{}, nil
	}
	return &introspection{
		Active: true, Scope: strings.Join(token.Scope, " "), ClientID: token.ClientID, TokenType: "Bearer", Subject: token.Identity.Subject,
		Audience: grants.ResourcesOf(servers), Issuer: token.Issuer, ExpiresAt: token.ExpiresAt.Add(e.ahead()).Unix(), IssuedAt: token.IssuedAt.Add(e.ahead()).Unix(),
		Details: tokens.DetailsOf(token.Chosen),
	}, nil
}
