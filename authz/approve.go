package authz

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var errChoice = oauth.NewError("invalid_request", "Choose at least one of the services on offer, and no other.")

// Approval is what a person agreed to.
type Approval struct {
	// Resources are the servers, all of which Servers must offer.
	Resources []string
	// Connected are the IDs of the servers that the person has connected.
	Connected []string
}

// Approve ends the flow with a grant, and returns the URL that takes the code
// to the client.
func (as *AuthorizationServer) Approve(ctx context.Context, f *Flow, a Approval) (string, error) {
	return as.approve(ctx, f, a, nil)
}

// ApproveAndSignIn is Approve and, in the same transaction, SignIn: the grant
// and the browser session are there both or neither.
func (as *AuthorizationServer) ApproveAndSignIn(w http.ResponseWriter, r *http.Request, f *Flow, a Approval) (string, error) {
	if f.Identity == nil {
		return "", ErrFlowInvalid
	}
	browser, secret := as.newBrowserSession(r, *f.Identity)
	target, err := as.approve(r.Context(), f, a, &browser)
	if err != nil {
		return "", err
	}
	as.setBrowserCookie(w, secret, browserSessionLifetime)
	return target, nil
}

func (as *AuthorizationServer) approve(ctx context.Context, f *Flow, a Approval, browser *storage.BrowserSession) (string, error) {
	if f.Identity == nil || !as.Policy.Allows(*f.Identity) {
		return "", ErrFlowInvalid
	}
	var chosen []Server
	offered := as.Servers(f)
	for _, s := range offered {
		if slices.Contains(a.Resources, s.Resource) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 || !subset(a.Resources, resourcesOf(offered)) {
		return "", errChoice
	}
	now := as.deps.Now()
	code := oauth.NewSecret(codePrefix)
	grant := as.newGrant(f, chosen, now)
	grant.Scope = connectedScope(grant.Scope, chosen, a.Connected)
	err := as.submit(ctx, f, storage.Submission{
		Grant: grant,
		Code: &storage.Code{
			Hash: storage.HashOf(code), GrantID: grant.ID, Issuer: as.cfg.Issuer, ClientID: f.Client.ID,
			RedirectURI: f.RedirectURI, Challenge: f.Challenge, ExpiresAt: grant.ExpiresAt,
		},
		Browser: browser,
		Now:     now,
	})
	if err != nil {
		return "", err
	}
	return as.answerURL(f, url.Values{"code": {code}}), nil
}

// newGrant returns what the person approves. It ends with its code unless
// the client redeems that in time.
func (as *AuthorizationServer) newGrant(f *Flow, servers []Server, now time.Time) *storage.Grant {
	limit := as.cfg.Lifetimes.Grant
	if f.Client.AllowsGrant(grantRefreshToken) {
		limit = as.cfg.Lifetimes.AbsoluteGrant
	}
	return &storage.Grant{
		ID: uuid.NewString(), Issuer: as.cfg.Issuer, ClientID: f.Client.ID, Identity: *f.Identity,
		Scope: limitScope(f.Scope, servers), Resources: resourcesOf(servers), ResourcesRequested: len(f.Resources) > 0,
		RedirectURI: f.RedirectURI, ClientName: f.Client.Metadata.ClientName,
		CreatedAt: now, ExpiresAt: now.Add(as.cfg.Lifetimes.Code), AbsoluteExpiresAt: now.Add(limit), LastUsedAt: now,
	}
}

// Deny ends the flow and returns the URL that tells the client so.
func (as *AuthorizationServer) Deny(ctx context.Context, f *Flow) (string, error) {
	if f.Identity == nil {
		return "", ErrFlowInvalid
	}
	if err := as.submit(ctx, f, storage.Submission{Now: as.deps.Now()}); err != nil {
		return "", err
	}
	return as.answerURL(f, url.Values{"error": {"access_denied"}}), nil
}

// submit ends the flow, once, with what s has of a grant. What the person
// connected in it becomes theirs with the grant; without one, it is removed.
func (as *AuthorizationServer) submit(ctx context.Context, f *Flow, s storage.Submission) error {
	s.FlowID, s.Issuer, s.Identity = f.ID, as.cfg.Issuer, *f.Identity
	policy := &as.cfg.Registration
	s.KeepClient = policy.UsedLifetime
	if !identity.Kind(f.Identity.Kind).Proves() {
		s.Quota = quotaOf(f.address, policy.MaxUnproved)
	}
	if s.Grant != nil && as.deps.Connections != nil {
		var err error
		if s.Adopt, err = as.deps.Connections.Adopt(ctx, f.ID, f.Identity.Subject); err != nil {
			return oauth.Unavailable(err)
		}
	}
	verdict, err := as.deps.Store.SubmitFlow(ctx, s)
	if err != nil {
		return oauth.Unavailable(err)
	}
	switch verdict {
	case storage.OK:
		if len(s.Adopt) > 0 {
			as.deps.Connections.Adopted(s.Adopt)
		}
		return nil
	case storage.Burned:
		return ErrFlowSubmitted
	case storage.Mismatch:
		return ErrFlowChanged
	}
	return ErrFlowExpired
}

// answerURL returns the redirect URI with an authorization response: state as
// it came, and iss on every one of them (OAuth 2.1 section 4.1.2, RFC 9207
// section 2). What the client put in the query stays.
func (as *AuthorizationServer) answerURL(f *Flow, answer url.Values) string {
	if f.State != "" {
		answer.Set("state", f.State)
	}
	answer.Set("iss", as.cfg.Issuer)
	separator := "?"
	if strings.Contains(f.RedirectURI, "?") {
		separator = "&"
	}
	return f.RedirectURI + separator + answer.Encode()
}

func resourcesOf(servers []Server) []string {
	resources := make([]string, len(servers))
	for i, s := range servers {
		resources[i] = s.Resource
	}
	return resources
}
