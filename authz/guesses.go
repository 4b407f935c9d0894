package authz

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"go.uber.org/zap"
)

// wrongSecretsPerAddress is how many wrong secrets of one kind an address may
// present per minute. A right one always passes, whatever was sent before: who
// shares the address with somebody who guesses is not shut out.
const wrongSecretsPerAddress = 60

// Kinds of secrets that are counted when they are wrong, as they are counted
// and as an operator reads them.
const (
	guessBearer            = "bearer"
	guessRegistrationToken = "registration_token"
	guessInitialToken      = "initial_access_token"
	guessClient            = "client_authentication"
	guessSignIn            = "sign_in"
)

// allowWrongSecret reports whether somebody who presented a wrong secret may
// hear so, or has presented too many. Each call counts.
func (as *AuthorizationServer) allowWrongSecret(r *http.Request, kind string) bool {
	return as.reported(r, kind, as.allowAddress(r, "wrong_"+kind, wrongSecretsPerAddress))
}

// reported returns allowed, which tells whether a wrong secret was within its
// limit. Of one that was not the operator reads, once a minute for an address.
func (as *AuthorizationServer) reported(r *http.Request, kind string, allowed bool) bool {
	if !allowed && as.deps.Limiter.AllowFor("guesses_reported", as.deps.ClientIP(r), kind, 1) {
		as.log.Warn("too many wrong secrets from one address; somebody may be guessing",
			zap.String("secret", kind), zap.String("address", ratelimit.AddressBlock(as.deps.ClientIP(r))))
	}
	return allowed
}

// wrongRegistrationToken returns the refusal of a registration token or
// initial access token that is wrong.
func (as *AuthorizationServer) wrongRegistrationToken(r *http.Request, kind string) error {
	if !as.allowWrongSecret(r, kind) {
		return ratelimit.ErrTooManyAttempts
	}
	return invalidRegistrationToken(true)
}
