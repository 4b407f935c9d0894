package server

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/workload"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
)

// Types of tokens (RFC 8693 section 3).
const (
	jwtType         = "urn:ietf:params:oauth:token-type:jwt"
	idTokenType     = "urn:ietf:params:oauth:token-type:id_token"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
)

// workloadGrant is the grant types by which programs exchange what another system
// signed about them. The token is what they prove themselves with: no client has to
// be registered, and one that is named has to authenticate as well.
type workloadGrant struct {
	authenticate authenticate
	verifiers    *workload.Verifiers
	services     *serviceIssuer
	attempts     *ratelimit.Attempts
}

// exchange is RFC 8693 section 2.
func (wg *workloadGrant) exchange(r *http.Request, form url.Values) (*issuedTokens, error) {
	var problem string
	switch t := form.Get("subject_token_type"); {
	case form.Get("subject_token") == "":
		problem = "The subject_token is missing."
	case t != jwtType && t != idTokenType:
		problem = "The subject_token_type must be that of a JWT or ID token."
	case form.Has("actor_token") || form.Has("actor_token_type"):
		problem = "An actor_token is not supported."
	case form.Has("requested_token_type") && form.Get("requested_token_type") != accessTokenType:
		problem = "The requested_token_type must be that of an access token."
	}
	if problem != "" {
		return nil, oauth.NewError("invalid_request", problem)
	}
	// RFC 8693 section 2.2.2 has this code for a token that is not good.
	issued, err := wg.redeem(r, form, form.Get("subject_token"), oauth.NewError("invalid_request", "The subject_token was not accepted."))
	if err != nil {
		return nil, err
	}
	issued.IssuedType = accessTokenType
	return issued, nil
}

// assertion is RFC 7523 section 2.1.
func (wg *workloadGrant) assertion(r *http.Request, form url.Values) (*issuedTokens, error) {
	if form.Get("assertion") == "" {
		return nil, oauth.NewError("invalid_request", "The assertion is missing.")
	}
	return wg.redeem(r, form, form.Get("assertion"), oauth.NewError("invalid_grant", "The assertion was not accepted."))
}

// redeem issues an access token for a token of a workload. Whatever is wrong with
// that, its sender reads the same; the log has the reason.
func (wg *workloadGrant) redeem(r *http.Request, form url.Values, token string, refusal *oauth.Error) (*issuedTokens, error) {
	client, err := wg.client(r, form)
	if err != nil {
		return nil, err
	}
	vouched, err := wg.verifiers.Verify(r.Context(), token)
	if why := (*workload.Refused)(nil); errors.As(err, &why) {
		if !wg.attempts.AllowWrongSecret(r, ratelimit.WorkloadToken) {
			return nil, ratelimit.ErrTooManyAttempts
		}
		refusal = refusal.Because("workload_" + why.Reason)
		refusal.Cause = why
		return nil, refusal
	}
	if err != nil {
		return nil, &oauth.Error{
			Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable", Reason: "workload_keys_unavailable",
			Description: "The keys of the token's issuer cannot be had right now; try again shortly.", Cause: err,
		}
	}
	s := service{
		Identity: vouched.Identity, clientID: vouched.Kind, clientName: vouched.Trust.Name, lifetime: vouched.Trust.Lifetime, how: "workload",
	}
	if client != nil {
		s.clientID, s.clientName = client.ID, client.Metadata.ClientName
	}
	return wg.services.issue(r.Context(), s, form)
}

// client returns the client that a request names, or nil. One that does not prove who
// it is would be believed by access rules.
func (wg *workloadGrant) client(r *http.Request, form url.Values) (*clients.Authenticated, error) {
	if len(r.Header.Values("Authorization")) == 0 && !form.Has("client_id") && !form.Has("client_secret") && !form.Has("client_assertion") &&
		!form.Has("client_assertion_type") {
		return nil, nil
	}
	client, err := wg.authenticate(r, form)
	if err == nil && !client.Proved {
		return nil, &oauth.Error{
			Status: http.StatusUnauthorized, Code: "invalid_client", Reason: "unproved",
			Description: "A client that is named here must authenticate; a workload needs none.",
		}
	}
	return client, err
}
