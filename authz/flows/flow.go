package flows

import (
	"encoding/hex"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Errors of a flow. The consent pages answer each in words.
var (
	ErrInvalid      = errors.New("authz: no such authorization request")                                    // 400
	ErrExpired      = errors.New("authz: the authorization request has expired")                            // 410
	ErrOtherBrowser = errors.New("authz: the request was started in another browser")                       // 403
	ErrSubmitted    = errors.New("authz: the request was already answered")                                 // 409
	ErrChanged      = errors.New("authz: the identity or the connections changed since the page was shown") // 409
)

// Flow is a pending authorization request, opened by the browser it is bound to.
type Flow struct {
	// SealedID is the flow_id that pages and forms carry.
	SealedID string
	ID       string
	Client   *clients.Client
	// RedirectURI is where the client waits.
	RedirectURI string
	// State is the client's; echoed byte for byte.
	State string
	// Challenge is the S256 code challenge.
	Challenge string
	// Scope is what will be granted: requested and known, or the default.
	Scope []string
	// Resources are the requested resources; empty when the client named none
	// and the person must choose.
	Resources []string
	ExpiresAt time.Time
	// CSRFToken goes into every form, as csrf_token.
	CSRFToken string
	// Identity is nil until the person has chosen one, and again when it is
	// no longer valid: the operator withdrew it, or the person signed out.
	Identity *storage.Identity

	begins       *storage.Flow // with what the person submits, unless nil
	browser      storage.Hash  // of the cookie that it is bound to
	session      storage.Hash  // by which the person is known; zero if they said who they are
	address      string        // where the request that opened it came from
	codeLifetime time.Duration
}

// AuthorizationRequest is what a client asks a person for, checked.
type AuthorizationRequest struct {
	Client      *clients.Client
	RedirectURI string
	State       string
	Challenge   string
	Scope       []string
	Resources   []string
}

// sealedFlow is the part of a flow that travels with the browser: the whole
// authorization request, as it was validated.
type sealedFlow struct {
	ID          string   `json:"i"`
	ClientID    string   `json:"c"`
	Fingerprint []byte   `json:"f"` // of the client, when it asked
	RedirectURI string   `json:"r"`
	State       []byte   `json:"s,omitempty"` // may be anything, not only UTF-8
	Challenge   string   `json:"p"`
	Scope       []string `json:"o,omitempty"`
	Resources   []string `json:"a,omitempty"`
	Browser     []byte   `json:"b"` // hash of the cookie
	ExpiresAt   int64    `json:"e"`
}

// PublicID returns the name of a flow that may be shown: it opens nothing.
func PublicID(id string) string {
	h := storage.HashOf("flow " + id)
	return hex.EncodeToString(h[:8])
}

// about returns an event about the flow: its client, and its person if that is known.
func (f *Flow) about(e event.Event) event.Event {
	e.Flow, e.Client, e.ClientName = PublicID(f.ID), f.Client.ID, f.Client.Metadata.ClientName
	if f.Identity != nil {
		e.Person, e.Identity = f.Identity.Subject, f.Identity.Kind
	}
	return e
}

// IsRemembered reports whether the person did not say who they are in the flow,
// but is known by the browser's session.
func (f *Flow) IsRemembered() bool { return f.session != storage.Hash{} }

// Authentication is who is signed in, and where. There is none before Identify.
func (f *Flow) Authentication() storage.Authentication {
	return storage.Authentication{Identity: *f.Identity, FlowID: f.ID}
}

// saved is the record of a flow of an issuer.
func (f *Flow) saved(issuer string, id storage.Identity, session storage.Hash) *storage.Flow {
	return &storage.Flow{ID: f.ID, Issuer: issuer, Identity: id, Browser: f.browser, Session: session, ExpiresAt: f.ExpiresAt}
}
