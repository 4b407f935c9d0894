package client

import (
	"errors"
	"fmt"
	"net/http"
)

// A refusal that trying again does not help is never ProviderDown, and its cause
// names the option that may help.

// errUnsupported: the answer is a proper one, of a kind that is of no use here.
var errUnsupported = errors.New("unsupported token response")

// errUserToken: the token is one of a person, of a provider that gives others, too.
var errUserToken = errors.New("the provider has tokens of persons and of applications")

// Known is how a provider knows the client that it refuses.
type Known struct {
	ClientID string
	// Configured is true if the operator registered it.
	Configured bool
}

// ExchangeProblem returns why a code was not redeemed.
func (p Profile) ExchangeProblem(failure *TokenError, known Known) *Error {
	switch {
	case errors.Is(failure, errUserToken):
		return Errorf(Unsupported, "%w; to use those of persons, set user_token", failure)
	case errors.Is(failure, errUnsupported):
		return Errorf(Unsupported, "%w; only bearer tokens of the authorization code flow can be used, ask the provider for those", failure)
	case failure.Status == http.StatusNotImplemented:
		return Errorf(Unsupported, "%w; check the provider's token_endpoint", failure)
	case failure.Failure == NotSent || failure.Failure == NoAnswer:
		return Errorf(Unreachable(failure).Problem, "%w", failure)
	case failure.Failure == Unable || failure.Temporary():
		return newError(ProviderDown, failure)
	case failure.Code != "":
		kind, hint := p.meaningOf(failure.Code, known)
		return Errorf(kind, "%w; %s", failure, hint)
	}
	switch failure.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return newError(ProviderDown, failure)
	case http.StatusUnauthorized:
		kind, hint := p.meaningOf("invalid_client", known)
		return Errorf(kind, "%w; %s", failure, hint)
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusUnsupportedMediaType,
		http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return Errorf(Unsupported, "%w; there is no token_endpoint at this address: check the provider's metadata, or configure token_endpoint", failure)
	}
	return Errorf(ProviderRefused, "%w; the provider's own log may tell why", failure)
}

// AnswerProblem returns why a provider sent a person back without a code.
func (p Profile) AnswerProblem(code string, known Known) *Error {
	switch code = KnownCode(code); code {
	case "access_denied":
		return newError(Declined, nil)
	case "server_error", "temporarily_unavailable":
		return Errorf(ProviderDown, "the provider answered %s", code)
	}
	kind, hint := p.meaningOf(code, known)
	return Errorf(kind, "the provider answered %q; %s", code, hint)
}

// meaningOf returns what an error code of OAuth means for whoever connects, and
// what an operator can do about it.
func (p Profile) meaningOf(code string, known Known) (Problem, string) {
	switch code {
	case "invalid_client", "unauthorized_client", "invalid_redirect_uri":
		switch {
		case known.Configured:
			return NotRegistered, "check client_id, client_secret, auth_method and, at the provider, the redirect URI " + p.RedirectURI
		case p.IsDocument(known.ClientID):
			return ProviderRefused, fmt.Sprintf("it may have failed to fetch %s; if it cannot, set metadata_document off", known.ClientID)
		}
		return ProviderRefused, "the next attempt looks into the registration"
	case "invalid_scope":
		return Unsupported, "check scopes"
	case "invalid_target":
		return Unsupported, "set resource to what the provider calls the server, or no_resource"
	case "unsupported_grant_type", "unsupported_response_type":
		return Unsupported, "the provider does not offer the authorization code flow to this client"
	case "invalid_request":
		return ProviderRefused, "if it happens to everybody, no_resource or scopes may help"
	}
	return ProviderRefused, "if it happens to everybody, the provider's own log may tell why"
}
