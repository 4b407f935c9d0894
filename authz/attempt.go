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

// How many trips to providers may begin per minute. Each is a record here and
// some requests to the server and its provider.
const (
	tripsPerPerson  = 20
	tripsPerAddress = 120
)

// AllowKeyAttempt reports whether one more key may be tried by who, which is a
// flow's ID or a subject, and from the address the request comes from. An
// empty who is nobody yet. Each call counts.
func (as *AuthorizationServer) AllowKeyAttempt(r *http.Request, who string) bool {
	return as.allow(r, "key_attempt", who, keyAttemptsPerPerson, keyAttemptsPerAddress)
}

// AllowUnproved reports whether somebody at the address the request comes from
// may sign in once more without proving who they are. Each is a record here,
// and leads to more, so it is bounded as registrations are. Each call counts.
func (as *AuthorizationServer) AllowUnproved(r *http.Request) bool {
	return as.deps.Limiter.Allow("unproved", as.deps.ClientIP(r), as.cfg.Registration.RatePerMinute)
}

// AllowTrip reports whether one more trip to a provider may begin, as
// AllowKeyAttempt does.
func (as *AuthorizationServer) AllowTrip(r *http.Request, who string) bool {
	return as.allow(r, "trip", who, tripsPerPerson, tripsPerAddress)
}

func (as *AuthorizationServer) allow(r *http.Request, kind, who string, perPerson, perAddress int) bool {
	return as.deps.Limiter.Allow(kind+"_address", as.deps.ClientIP(r), perAddress) &&
		(who == "" || as.deps.Limiter.Allow(kind+"_person", who, perPerson))
}
