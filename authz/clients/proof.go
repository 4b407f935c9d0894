package clients

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// clientNamedBy returns the client that a code or token was issued to: a public
// client need not say more (RFC 6749 section 3.2.1 has it identify itself so
// that it gets no code that was meant for another, which PKCE sees to here).
func (a *Authenticator) clientNamedBy(ctx context.Context, form url.Values) (string, error) {
	issuer, owner, err := a.Lookup.IssuedTo(ctx, brought(form))
	switch {
	case err == nil && issuer == a.Issuer:
		return owner, nil
	case err != nil && !errors.Is(err, storage.ErrNotFound):
		return "", oauth.Unavailable(err)
	case form.Has("code") || form.Has("refresh_token"):
		return "", oauth.ErrInvalidGrant.Because("token_ended")
	}
	return "", errNoClientID
}

var errNoClientID = &oauth.Error{
	Status: http.StatusUnauthorized, Code: "invalid_client", Reason: "client_id_missing", Description: "The request does not say which client it comes from.",
}

// brought returns the code or token that a form is about.
func brought(form url.Values) string {
	return cmp.Or(form.Get("code"), form.Get("refresh_token"), form.Get("token"))
}

// readAhead has read what a request at the endpoints for clients asks for.
func (a *Authenticator) readAhead(ctx context.Context, clientID string, form url.Values) {
	w := storage.Wanted{Issuer: a.Issuer, Client: a.Directory.RegisteredID(clientID)}
	presented := brought(form)
	switch hash := storage.HashOf(presented); {
	case strings.HasPrefix(presented, tokens.CodePrefix):
		w.Code = hash
	case strings.HasPrefix(presented, tokens.RefreshPrefix):
		w.RefreshToken = hash
	}
	storage.ReadAhead(ctx, a.Store, w)
}

// bringsOwn reports whether a form brings a code or token that was issued here
// to the client. Its metadata document and its keys, wherever they are, were
// good once, so they were not made up: they may be fetched beyond
// what unknown clients may cause, and their client be told that this failed for now
// instead of invalid_client, at which clients forget their tokens. An error is
// the store's.
func (a *Authenticator) bringsOwn(ctx context.Context, clientID string, form url.Values) (bool, error) {
	issuer, owner, err := a.Lookup.IssuedTo(ctx, brought(form))
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, oauth.Unavailable(err)
	}
	return issuer == a.Issuer && owner == clientID, nil
}
