package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// management answers the client configuration endpoint of each registered
// client (RFC 7592 section 2): read, update, delete.
func (e *registrationEndpoint) management(w http.ResponseWriter, r *http.Request) {
	response, err := e.manage(w, r)
	switch {
	case err != nil:
		oauth.WriteError(r.Context(), w, e.events, event.RequestRefused, err)
	case response == nil:
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
	default:
		oauth.WriteJSON(w, http.StatusOK, response)
	}
}

// manage does what the holder of a registration asks. There is no
// response to a deletion.
func (e *registrationEndpoint) manage(w http.ResponseWriter, r *http.Request) (*registrationResponse, error) {
	c, token, err := e.open(r)
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case http.MethodPut:
		return e.update(w, r, c)
	case http.MethodDelete:
		return nil, e.delete(r.Context(), c)
	}
	var m oauth.ClientMetadata
	if err := json.Unmarshal(c.Metadata, &m); err != nil {
		return nil, err
	}
	// The token is not kept; the one that opened the registration is the one.
	return e.describe(&c, m, token)
}

// open returns the registration that the path names and the
// bearer token guards. An unknown client, another client's token and none at
// all look the same: 401, never 404 (RFC 7592 section 2.1).
func (e *registrationEndpoint) open(r *http.Request) (storage.Client, string, error) {
	token, ok := oauth.BearerToken(r)
	if !ok {
		return storage.Client{}, "", invalidRegistrationToken(false)
	}
	c, err := e.clients.Registration(r.Context(), strings.TrimPrefix(r.URL.Path, RegisterPath+"/"))
	if refused := (*oauth.Error)(nil); errors.As(err, &refused) {
		return storage.Client{}, "", e.wrongToken(r, ratelimit.RegistrationToken)
	}
	if err != nil {
		return storage.Client{}, "", err
	}
	event.Learn(r.Context(), event.Event{Client: c.ID})
	if !storage.HashOf(token).Equal(c.RegistrationTokenHash) {
		return storage.Client{}, "", e.wrongToken(r, ratelimit.RegistrationToken)
	}
	return c, token, nil
}

// update replaces the metadata as a whole, and the registration
// token with it (RFC 7592 section 2.2). Where that changes what people
// approved, their approvals end. Only the holder of the token gets here, so
// that nobody else can use up how often that may be.
func (e *registrationEndpoint) update(w http.ResponseWriter, r *http.Request, c storage.Client) (*registrationResponse, error) {
	if !e.limiter.AllowShared(r.Context(), "registration_update", c.ID, "", *e.cfg.Registration.RateLimit) {
		return nil, tooManyRegistrations()
	}
	if err := oauth.RequireJSON(r, invalidMetadata); err != nil {
		return nil, err
	}
	body, err := oauth.ReadBody(w, r, maxRegistrationLen, invalidMetadata)
	if err != nil {
		return nil, err
	}
	metadata, err := e.parse(body)
	if err != nil {
		return nil, err
	}
	if err := checkUpdate(body, &c); err != nil {
		return nil, err
	}
	var before oauth.ClientMetadata
	if err := json.Unmarshal(c.Metadata, &before); err != nil {
		return nil, err
	}
	changed := clients.Fingerprint(&before) != clients.Fingerprint(&metadata)
	oldToken := c.RegistrationTokenHash
	response, err := e.describe(&c, metadata, oauth.NewSecret(registrationTokenPrefix))
	if err != nil {
		return nil, err
	}
	response.issueSecret(&c)
	revoked, err := e.store.UpdateClient(r.Context(), c, oldToken, changed, e.now())
	if errors.Is(err, storage.ErrNotFound) { // another update or a deletion came first
		return nil, invalidRegistrationToken(true)
	}
	if err != nil {
		return nil, err
	}
	e.cache.Forget(revoked)
	e.events.Record(r.Context(), event.Event{Kind: event.ClientChanged, ClientName: metadata.ClientName, By: event.ByClient})
	return response, nil
}

// checkUpdate applies the rules for members that an update must repeat, or
// must not have.
func checkUpdate(body []byte, c *storage.Client) error {
	var own struct {
		ClientID                string          `json:"client_id"`
		ClientSecret            string          `json:"client_secret"`
		RegistrationAccessToken json.RawMessage `json:"registration_access_token"`
		RegistrationClientURI   json.RawMessage `json:"registration_client_uri"`
		ClientSecretExpiresAt   json.RawMessage `json:"client_secret_expires_at"`
		ClientIDIssuedAt        json.RawMessage `json:"client_id_issued_at"`
	}
	if err := strictjson.Unmarshal(body, maxRegistrationLen, &own); err != nil {
		return clients.InvalidMetadata("client_id and client_secret must be texts.")
	}
	if own.ClientID != c.ID {
		return oauth.NewError("invalid_request", "client_id must be that of the registration.")
	}
	if own.RegistrationAccessToken != nil || own.RegistrationClientURI != nil ||
		own.ClientSecretExpiresAt != nil || own.ClientIDIssuedAt != nil {
		return oauth.NewError("invalid_request", "An update must not contain what only the server sets.")
	}
	if own.ClientSecret != "" && (c.SecretHash == nil || !storage.HashOf(own.ClientSecret).Equal(*c.SecretHash)) {
		return oauth.NewError("invalid_request", "client_secret must be the one that was issued.")
	}
	return nil
}

func (e *registrationEndpoint) delete(ctx context.Context, c storage.Client) error {
	revoked, err := e.store.DeleteClient(ctx, c.ID, e.now())
	if errors.Is(err, storage.ErrNotFound) {
		return invalidRegistrationToken(true)
	}
	if err != nil {
		return err
	}
	e.cache.Forget(revoked)
	e.events.Record(ctx, event.Event{Kind: event.ClientDeleted, By: event.ByClient})
	return nil
}

// wrongToken returns the refusal of a registration token or initial access
// token that is wrong.
func (e *registrationEndpoint) wrongToken(r *http.Request, kind string) error {
	if !e.attempts.AllowWrongSecret(r, kind) {
		return ratelimit.ErrTooManyAttempts
	}
	return invalidRegistrationToken(true)
}

// invalidRegistrationToken is the 401 of RFC 6750 section 3.1. A request that
// brought no token is told no error, but a challenge has one parameter at least
// (section 3).
func invalidRegistrationToken(presented bool) *oauth.Error {
	e := &oauth.Error{
		Status: http.StatusUnauthorized, Code: "invalid_token",
		Description: "The request needs a valid access token for registration.",
		Challenge:   oauth.BearerChallenge{Realm: "client registration"}.String(),
	}
	if presented {
		e.Challenge = oauth.BearerChallenge{Error: e.Code}.String()
	}
	return e
}
