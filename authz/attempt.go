package authz

import "net/http"

// How many virtual keys may be tried per minute. A key is a random secret that
// nobody guesses at any rate; the limits keep a weak one safe for long, and
// leave room for an office behind one address.
const (
	keyAttemptsPerFlow    = 10
	keyAttemptsPerAddress = 30
)

// AllowKeyAttempt reports whether one more virtual key may be tried in the
// flow, and from the address the request comes from. Each call counts.
func (as *AuthorizationServer) AllowKeyAttempt(r *http.Request, f *Flow) bool {
	return as.deps.Limiter.Allow("key_attempt_address", as.deps.ClientIP(r), keyAttemptsPerAddress) &&
		as.deps.Limiter.Allow("key_attempt_flow", f.ID, keyAttemptsPerFlow)
}
