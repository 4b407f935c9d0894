package server

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/initialtokens"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Prefixes of the secrets of clients, see package authz/tokens.
const (
	clientSecretPrefix      = "mcpcs_"
	registrationTokenPrefix = "mcpreg_"
)

const maxRegistrationLen = 64 << 10

// invalidMetadata is the code for a body that is none (RFC 7591 section 3.2.2).
const invalidMetadata = "invalid_client_metadata"

// registrationResponse is the client information response (RFC 7591 section
// 3.2.1, RFC 7592 section 3): everything that is registered, and what only
// this answer can tell.
type registrationResponse struct {
	ClientID         string `json:"client_id"`
	ClientIDIssuedAt int64  `json:"client_id_issued_at"`
	// ClientSecret is shown once, when it is made.
	ClientSecret string `json:"client_secret,omitempty"`
	// ClientSecretExpiresAt comes with a secret; 0 means never.
	ClientSecretExpiresAt   *int64 `json:"client_secret_expires_at,omitempty"`
	RegistrationAccessToken string `json:"registration_access_token"`
	RegistrationClientURI   string `json:"registration_client_uri"`
	oauth.ClientMetadata
}

// registrationEndpoint is RFC 7591 section 3, and with management RFC 7592.
type registrationEndpoint struct {
	cfg      *config.Site
	clients  *clients.Directory
	flows    *flows.Flows
	store    storage.AuthStore
	cache    *tokens.Cache
	limiter  *ratelimit.Limiter
	attempts *ratelimit.Attempts
	clientIP func(*http.Request) string
	tokens   *initialtokens.Tokens
	events   *event.Recorder
	now      func() time.Time
}

// ServeHTTP registers a client.
func (e *registrationEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	response, err := e.register(w, r)
	if err != nil {
		oauth.WriteError(r.Context(), w, e.events, event.ClientRegistrationRefused, err)
		return
	}
	oauth.WriteJSON(w, http.StatusCreated, response)
}

// register stores a new client, in one write. What could not have registered
// one is not counted: a web page can make a browser send it without asking.
func (e *registrationEndpoint) register(w http.ResponseWriter, r *http.Request) (*registrationResponse, error) {
	policy := e.cfg.Registration
	if err := oauth.RequireJSON(r, invalidMetadata); err != nil {
		return nil, err
	}
	token, err := e.checkInitialToken(r)
	if err != nil {
		return nil, err
	}
	if !e.attempts.AllowRegistration(r, *policy.RateLimit) {
		return nil, tooManyRegistrations()
	}
	body, err := oauth.ReadBody(w, r, maxRegistrationLen, invalidMetadata)
	if err != nil {
		return nil, err
	}
	metadata, err := e.parse(body)
	if err != nil {
		return nil, err
	}
	now := e.now()
	c := storage.Client{
		ID: uuid.NewString(), Issuer: e.cfg.Issuer, CreatedAt: now, ExpiresAt: now.Add(time.Duration(policy.UnusedLifetime)),
	}
	sender := storage.HashOf(ratelimit.SenderBlock(e.clientIP(r)))
	c.Sender = &sender
	response, err := e.describe(&c, metadata, oauth.NewSecret(registrationTokenPrefix))
	if err != nil {
		return nil, err
	}
	response.issueSecret(&c)
	about := event.Event{Kind: event.ClientRegistered, Client: c.ID, ClientName: metadata.ClientName, By: event.ByClient}
	if token != "" {
		name, err := e.tokens.Use(r.Context(), token)
		if err != nil {
			return nil, err
		}
		if name == "" { // another registration was faster
			return nil, invalidRegistrationToken(true)
		}
		about.Person = initialtokens.Subject(name)
	}
	if err := e.store.CreateClient(r.Context(), c, storage.Unused{Max: *policy.MaxUnused, Spare: e.flows.Pending}); err != nil {
		return nil, err
	}
	e.events.Record(r.Context(), about)
	return response, nil
}

// checkInitialToken requires an initial access token (RFC 7591 section 3) where one
// is needed. It returns one of those that were made while the site ran, of which a
// use is to be taken.
func (e *registrationEndpoint) checkInitialToken(r *http.Request) (token string, err error) {
	if !e.cfg.Registration.NeedsToken() {
		return "", nil
	}
	token, ok := oauth.BearerToken(r)
	if !ok {
		return "", invalidRegistrationToken(false)
	}
	if want := e.cfg.Registration.TokenHash; want != nil && storage.HashOf(token).Equal(*want) {
		return "", nil
	}
	name, err := e.tokens.Check(r.Context(), token)
	if err == nil && name == "" {
		err = e.wrongToken(r, ratelimit.InitialToken)
	}
	return token, err
}

// parse returns the metadata that will be in effect. Members that
// RFC 7591 does not name, or that only a server may set, have no effect.
func (e *registrationEndpoint) parse(body []byte) (oauth.ClientMetadata, error) {
	var m oauth.ClientMetadata
	if err := strictjson.Unmarshal(body, maxRegistrationLen, &m); err != nil {
		return m, &oauth.Error{
			Status: http.StatusBadRequest, Code: invalidMetadata,
			Description: "The request must be one JSON object with members of the right type, none of them twice.", Cause: err,
		}
	}
	err := clients.CompleteMetadata(&m, clients.Registered, e.cfg.Registration.RedirectSchemes)
	return m, err
}

// describe puts the metadata and the hash of the registration
// token into the record, and returns the answer that shows both.
func (e *registrationEndpoint) describe(c *storage.Client, m oauth.ClientMetadata, token string) (*registrationResponse, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	c.Metadata, c.RegistrationTokenHash = raw, storage.HashOf(token)
	return &registrationResponse{
		ClientID: c.ID, ClientIDIssuedAt: c.CreatedAt.Unix(), ClientMetadata: m.Published(),
		RegistrationAccessToken: token, RegistrationClientURI: e.cfg.Issuer + RegisterPath + "/" + c.ID,
	}, nil
}

// issueSecret gives the client a secret if it registered to use one and has
// none, and takes away one that it has no more use for.
func (response *registrationResponse) issueSecret(c *storage.Client) {
	switch response.TokenEndpointAuthMethod {
	case oauth.AuthSecretBasic, oauth.AuthSecretPost:
		if c.SecretHash == nil {
			response.ClientSecret, response.ClientSecretExpiresAt = oauth.NewSecret(clientSecretPrefix), new(int64)
			h := storage.HashOf(response.ClientSecret)
			c.SecretHash = &h
		}
	default:
		c.SecretHash = nil
	}
}

func tooManyRegistrations() *oauth.Error {
	return &oauth.Error{
		Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Reason: "too_many_registrations",
		Description: "Too many registrations from this address; try again shortly.",
	}
}
