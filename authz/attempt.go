package authz

import "net/http"

// How many keys may be tried per minute. A virtual key is a random secret that
// nobody guesses at any rate; the limits keep a weak one safe for long, keep
// upstream servers from being used to try theirs, and leave room for an office
// behind one address.
const (
	keyAttemptsPerPerson  = 10
	keyAttemptsPerAddress = 30
)

// AllowKeyAttempt reports whether one more key may be tried by who, which is a
// flow's ID or a subject, and from the address the request comes from. An
// empty who is nobody yet. Each call counts.
func (as *AuthorizationServer) AllowKeyAttempt(r *http.Request, who string) bool {
	return as.deps.Limiter.Allow("key_attempt_address", as.deps.ClientIP(r), keyAttemptsPerAddress) &&
		(who == "" || as.deps.Limiter.Allow("key_attempt_person", who, keyAttemptsPerPerson))
}
