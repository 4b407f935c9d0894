package accounts

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// What cannot be helped by trying again is told so, and the log has the option
// that may help.

// errUnsupported: the answer is a proper one, of a kind that is of no use here.
var errUnsupported = errors.New("unsupported token response")

// unreachable tells that no answer came. A certificate that is not good, or an
// address that is not allowed, is none to try again.
func unreachable(err error) *Error {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return problemf(ProviderUnusable, "its certificate is not accepted; have it renewed, or trust its authority on this machine: %w", transportError(err))
	case errors.Is(err, egress.ErrURL), errors.Is(err, egress.ErrAddress):
		return problemf(ProviderUnusable, "only the internet over https is reached, unless the configuration names the address: %w", transportError(err))
	}
	return problem(ProviderDown, transportError(err))
}

// exchangeProblem tells why a code was not redeemed.
func (b *Broker) exchangeProblem(s *Server, l link, failure *tokenError) *Error {
	switch {
	case errors.Is(failure, errUnsupported):
		return problemf(Unsupported, "%w; only bearer tokens of the authorization code flow can be used, ask the provider for those", failure)
	case failure.Status == http.StatusNotImplemented:
		return problemf(Unsupported, "%w; check the provider's token_endpoint", failure)
	case failure.Failure == notSent || failure.Failure == noAnswer:
		p := unreachable(failure)
		return problemf(p.Problem, "%w", failure)
	case failure.Failure == unable || failure.forNow():
		return problem(ProviderDown, failure)
	case failure.Code != "":
		kind, hint := b.meaningOf(s, l, failure.Code)
		return problemf(kind, "%w; %s", failure, hint)
	}
	switch failure.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return problem(ProviderDown, failure)
	case http.StatusUnauthorized:
		kind, hint := b.meaningOf(s, l, "invalid_client")
		return problemf(kind, "%w; %s", failure, hint)
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusUnsupportedMediaType,
		http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return problemf(Unsupported, "%w; there is no token_endpoint at this address: check the provider's metadata, or configure token_endpoint", failure)
	}
	return problemf(ProviderRefused, "%w; the provider's own log may tell why", failure)
}

// answerProblem tells why a provider sent a person back without a code.
func (b *Broker) answerProblem(s *Server, l link, code string) *Error {
	switch code = knownCode(code); code {
	case "access_denied":
		return problem(Declined, nil)
	case "server_error", "temporarily_unavailable":
		return problemf(ProviderDown, "the provider answered %s", code)
	}
	kind, hint := b.meaningOf(s, l, code)
	return problemf(kind, "the provider answered %q; %s", code, hint)
}

// meaningOf returns what an error code of OAuth means for whoever connects, and
// what an operator can do about it.
func (b *Broker) meaningOf(s *Server, l link, code string) (Problem, string) {
	switch code {
	case "invalid_client", "unauthorized_client", "invalid_redirect_uri":
		switch {
		case s.Client != nil:
			return NotRegistered, "check client_id, client_secret, auth_method and, at the provider, the redirect URI " + b.redirectURI(s)
		case b.isDocument(s, l.ClientID):
			return ProviderRefused, fmt.Sprintf("it may have failed to fetch %s; if it cannot, set metadata_document off", l.ClientID)
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
