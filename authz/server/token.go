package server

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// tokenEndpoint is OAuth 2.1 section 3.2.
type tokenEndpoint struct {
	clients    *clients.Authenticator
	grantTypes []grantType
	events     *event.Recorder
	now        func() time.Time
}

// authenticate returns the client that makes a request with the form. A refusal
// is an *oauth.Error; any other error is the store's.
type authenticate func(r *http.Request, form url.Values) (*clients.Authenticated, error)

// grantType is a way for a client to get tokens (OAuth 2.1 section 4).
type grantType struct {
	name   string
	redeem func(ctx context.Context, client *clients.Authenticated, form url.Values) (*issuedTokens, error)
	// open, in place of redeem, is for requests that need no client.
	open func(r *http.Request, form url.Values) (*issuedTokens, error)
}

func (e *tokenEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	response, err := e.exchange(w, r)
	if err != nil {
		oauth.WriteError(r.Context(), w, e.events, event.TokenRefused, err)
		return
	}
	oauth.WriteJSON(w, http.StatusOK, response)
}

func (e *tokenEndpoint) exchange(w http.ResponseWriter, r *http.Request) (*tokenResponse, error) {
	form, err := oauth.ParseForm(w, r)
	if err != nil {
		return nil, err
	}
	grant, err := e.grantType(form.Get("grant_type"))
	if err != nil {
		return nil, err
	}
	if grant.open != nil {
		issued, err := grant.open(r, form)
		if err != nil {
			return nil, err
		}
		return issued.response(e.now()), nil
	}
	client, err := e.clients.Begin(r, form)
	if err != nil {
		return nil, err
	}
	issued, err := grant.redeemBy(r.Context(), client, form)
	if err := e.clients.End(r, client, err); err != nil {
		return nil, err
	}
	return issued.response(e.now()), nil
}

// redeemBy is redeem for a client that may use the grant type.
func (g grantType) redeemBy(ctx context.Context, client *clients.Authenticated, form url.Values) (*issuedTokens, error) {
	if !client.AllowsGrant(g.name) {
		return nil, oauth.NewError("unauthorized_client", "The client did not register this grant type.")
	}
	return g.redeem(ctx, client, form)
}

func (e *tokenEndpoint) grantType(name string) (grantType, error) {
	for _, t := range e.grantTypes {
		if t.name == name {
			return t, nil
		}
	}
	if name == "" {
		return grantType{}, oauth.NewError("invalid_request", "The grant_type is missing.")
	}
	return grantType{}, oauth.NewError("unsupported_grant_type", "The grant types are "+strings.Join(e.names(), ", ")+".")
}

// names returns the grant types, as metadata lists them.
func (e *tokenEndpoint) names() []string {
	names := make([]string, len(e.grantTypes))
	for i, t := range e.grantTypes {
		names[i] = t.name
	}
	return names
}
