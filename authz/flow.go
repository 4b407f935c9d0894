package authz

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Errors of a flow. The consent pages answer each in words.
var (
	ErrFlowInvalid      = errors.New("authz: no such authorization request")                                    // 400
	ErrFlowExpired      = errors.New("authz: the authorization request has expired")                            // 410
	ErrFlowOtherBrowser = errors.New("authz: the request was started in another browser")                       // 403
	ErrFlowSubmitted    = errors.New("authz: the request was already answered")                                 // 409
	ErrFlowForged       = errors.New("authz: the form did not come from our page")                              // 403
	ErrFlowChanged      = errors.New("authz: the identity or the connections changed since the page was shown") // 409
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
	// Identity is nil until the person has chosen one, and again when it stands
	// no more: the operator withdrew it, or the person signed out.
	Identity *storage.Identity

	browser storage.Hash // of the cookie that it is bound to
	address string       // where the request that opened it came from
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

// sealFlow returns the flow_id. Only this issuer opens it again.
func (as *AuthorizationServer) sealFlow(s *sealedFlow) (string, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(as.deps.Keys.Seal(plain, "flow", as.cfg.Issuer)), nil
}

func (as *AuthorizationServer) unsealFlow(flowID string) (*sealedFlow, error) {
	box, err := base64.RawURLEncoding.DecodeString(flowID)
	if err != nil {
		return nil, ErrFlowInvalid
	}
	plain, err := as.deps.Keys.Open(box, "flow", as.cfg.Issuer)
	if err != nil {
		return nil, ErrFlowInvalid
	}
	s := new(sealedFlow)
	if err := json.Unmarshal(plain, s); err != nil {
		return nil, ErrFlowInvalid
	}
	return s, nil
}

// OpenFlow returns the flow with the flow_id, if the request comes from the
// browser that started it. Anything but a page load must also carry the flow's
// csrf_token in r.PostForm, which the caller has filled.
func (as *AuthorizationServer) OpenFlow(r *http.Request, flowID string) (*Flow, error) {
	s, err := as.unsealFlow(flowID)
	if err != nil {
		return nil, err
	}
	now := as.deps.Now()
	expires := time.Unix(s.ExpiresAt, 0)
	if !now.Before(expires) {
		return nil, ErrFlowExpired
	}
	secret := as.flowCookie(r, s.ID)
	browser := storage.HashOf(secret)
	if secret == "" || subtle.ConstantTimeCompare(browser[:], s.Browser) != 1 {
		return nil, ErrFlowOtherBrowser
	}
	f := &Flow{
		SealedID: flowID, ID: s.ID, RedirectURI: s.RedirectURI, State: string(s.State), Challenge: s.Challenge,
		Scope: s.Scope, Resources: s.Resources, ExpiresAt: expires, CSRFToken: csrfToken(secret, s.ID),
		browser: browser, address: as.deps.ClientIP(r),
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !carriesToken(r, f.CSRFToken) {
		return nil, ErrFlowForged
	}
	if f.Client, err = as.flowClient(r.Context(), s, f.address); err != nil {
		return nil, err
	}
	switch stored, err := as.deps.Store.Flow(r.Context(), s.ID, now); {
	case errors.Is(err, storage.ErrNotFound):
	case err != nil:
		return nil, oauth.Unavailable(err)
	case stored.Submitted:
		return nil, ErrFlowSubmitted
	case as.Policy.Allows(stored.Identity):
		f.Identity = &stored.Identity
	}
	return f, nil
}

// Authentication tells who is there, once somebody has said who they are.
func (f *Flow) Authentication() storage.Authentication {
	return storage.Authentication{Identity: *f.Identity, FlowID: f.ID}
}

// flowClient returns the client of a flow, unless it became another since it
// asked: whatever the person reads must be what the request was checked against.
// A flow is sealed, so its client was known here.
func (as *AuthorizationServer) flowClient(ctx context.Context, s *sealedFlow, address string) (*Client, error) {
	client, err := as.clients.lookup(ctx, s.ClientID, requester{address: address, proven: true})
	if e := (*oauth.Error)(nil); errors.As(err, &e) && e.Status < http.StatusInternalServerError {
		return nil, ErrFlowInvalid
	}
	if err != nil {
		return nil, err
	}
	if string(client.Fingerprint[:]) != string(s.Fingerprint) {
		return nil, ErrFlowInvalid
	}
	return client, nil
}

// Servers returns the MCP servers the person may grant in this flow: those the
// client asked for, or all, as far as the scope means something to them and
// their identity allows.
func (as *AuthorizationServer) Servers(f *Flow) []Server {
	var offered []Server
	for _, s := range as.cfg.Servers {
		if len(f.Resources) > 0 && !slices.Contains(f.Resources, s.Resource) {
			continue
		}
		if f.Identity != nil && !as.Policy.MayUse(*f.Identity, &s) {
			continue
		}
		if len(s.Scopes) > 0 && !slices.ContainsFunc(f.Scope, s.knowsScope) {
			continue
		}
		offered = append(offered, s)
	}
	return offered
}

// Identify records who the person is.
func (as *AuthorizationServer) Identify(ctx context.Context, f *Flow, id storage.Identity) error {
	if !as.Policy.Allows(id) {
		return ErrFlowInvalid
	}
	verdict, err := as.deps.Store.SaveFlow(ctx, storage.Flow{
		ID: f.ID, Issuer: as.cfg.Issuer, Identity: id, Browser: f.browser, ExpiresAt: f.ExpiresAt,
	}, as.deps.Now())
	if err != nil {
		return oauth.Unavailable(err)
	}
	if verdict != storage.OK {
		return ErrFlowSubmitted
	}
	f.Identity = &id
	return nil
}
