package authz

import "net/http"

// How many wrong virtual keys are told so per minute. A right one always
// passes: it is a random secret that nobody guesses at any rate, and whoever
// shares an address with somebody who guesses must not be shut out.
const (
	wrongKeysPerPerson  = 10
	wrongKeysPerAddress = 30
)

// How many keys for MCP servers may be pasted per minute. Each is tried at the
// server, which must not be used to guess keys, nor be flooded.
const (
	pastedKeysPerPerson  = 10
	pastedKeysPerAddress = 120
)

// How many trips to providers may begin per minute. Each is a record here and
// some requests to the server and its provider.
const (
	tripsPerPerson  = 20
	tripsPerAddress = 120
)

// AllowWrongKey reports whether somebody who gave a wrong virtual key may hear
// so, or has given too many. who is a flow's ID, or empty for nobody yet; the
// address of the request counts too. Each call counts.
func (as *AuthorizationServer) AllowWrongKey(r *http.Request, who string) bool {
	return as.reported(r, guessSignIn, as.allowPerson(r, "wrong_key", who, wrongKeysPerPerson, wrongKeysPerAddress))
}

// AllowPastedKey reports whether who, a flow's ID or a subject, may have one
// more key tried at an MCP server. Each call counts.
func (as *AuthorizationServer) AllowPastedKey(r *http.Request, who string) bool {
	return as.allowPerson(r, "pasted_key", who, pastedKeysPerPerson, pastedKeysPerAddress)
}

// AllowUnproved reports whether somebody at the address the request comes from
// may sign in once more without proving who they are. Each is a record here,
// and leads to more, so it is bounded as registrations are. Each call counts.
func (as *AuthorizationServer) AllowUnproved(r *http.Request) bool {
	return as.allowAddress(r, "unproved", *as.cfg.Registration.RateLimit)
}

// AllowTrip reports whether who, a flow's ID or a subject, may begin one more
// trip to a provider. Each call counts.
func (as *AuthorizationServer) AllowTrip(r *http.Request, who string) bool {
	return as.allowPerson(r, "trip", who, tripsPerPerson, tripsPerAddress)
}

// allowPerson counts an event for an address and for a person there. The
// address comes first: persons can be made up.
func (as *AuthorizationServer) allowPerson(r *http.Request, kind, who string, perPerson, perAddress int) bool {
	return as.allowAddress(r, kind+"_address", perAddress) &&
		(who == "" || as.deps.Limiter.Allow(kind+"_person", as.cfg.Issuer+" "+who, perPerson))
}

// allowAddress counts an event at this site for the address that a request
// comes from.
func (as *AuthorizationServer) allowAddress(r *http.Request, kind string, perMinute int) bool {
	return as.deps.Limiter.AllowFor(as.senderKind(r, kind), as.deps.ClientIP(r), as.cfg.Issuer, perMinute)
}

// senderKind returns the kind under which an event is counted for an address.
// What a web page from elsewhere makes a browser send is counted apart: it must
// not use up what the person at that browser, and their other programs, have.
func (as *AuthorizationServer) senderKind(r *http.Request, kind string) string {
	return kindFor(kind, as.cfg.Origins().FromForeignPage(r))
}

func kindFor(kind string, foreignPage bool) string {
	if foreignPage {
		return kind + "_foreign_page"
	}
	return kind
}
