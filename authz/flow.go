package authz

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Errors of a flow. The consent pages answer each in words.
var (
	ErrFlowInvalid      = errors.New("authz: no such authorization request")                 // 400
	ErrFlowExpired      = errors.New("authz: the authorization request has expired")         // 410
	ErrFlowOtherBrowser = errors.New("authz: the request was started in another browser")    // 403
	ErrFlowSubmitted    = errors.New("authz: the request was already answered")              // 409
	ErrFlowForged       = errors.New("authz: the form did not come from our page")           // 403
	ErrFlowChanged      = errors.New("authz: the identity changed since the page was shown") // 409
)

// Flow is a pending authorization request, opened by the browser it is bound to.
type Flow struct {
	// SealedID is the flow_id that pages and forms carry.
	SealedID string
	ID       string
	Client   *Client
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
	// Identity is nil until the person has chosen one.
	Identity *storage.Identity
}

// OpenFlow returns the flow with the flow_id, if the request comes from the
// browser that started it. A POST must also carry the flow's csrf_token.
func (as *AuthorizationServer) OpenFlow(r *http.Request, flowID string) (*Flow, error) {
	return nil, ErrFlowInvalid
}

// Servers returns the MCP servers the person may grant in this flow: those the
// client asked for, or all, as far as their identity allows.
func (as *AuthorizationServer) Servers(f *Flow) []Server { return nil }

// Identify records who the person is.
func (as *AuthorizationServer) Identify(ctx context.Context, f *Flow, id storage.Identity) error {
	return nil
}

// Approve ends the flow with a grant for the resources, all of which
// Servers must offer, and returns the URL that takes the code to the client.
func (as *AuthorizationServer) Approve(ctx context.Context, f *Flow, resources []string) (string, error) {
	return "", nil
}

// Deny ends the flow and returns the URL that tells the client so.
func (as *AuthorizationServer) Deny(ctx context.Context, f *Flow) (string, error) { return "", nil }

// EndFlowCookie makes the browser forget the flow.
func (as *AuthorizationServer) EndFlowCookie(w http.ResponseWriter, f *Flow) {}
