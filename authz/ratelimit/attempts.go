package ratelimit

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// ErrTooManyAttempts answers whoever presented too many wrong secrets.
var ErrTooManyAttempts = &oauth.Error{
	Status: http.StatusTooManyRequests, Code: "temporarily_unavailable",
	Reason: "too_many_wrong_secrets", Description: "Too many failed attempts; try again shortly.",
}

// How many wrong secrets people are told of per minute when they sign in. A right
// one always passes: whoever shares an address with somebody who guesses must not
// be shut out, and a virtual key is a random secret that nobody guesses at any
// rate. What could be guessed is not protected by this.
const (
	wrongSignInsPerPerson  = 10
	wrongSignInsPerAddress = 30
)

// How many keys for MCP servers may be pasted per minute. Each is tried at the
// server, which must not be used to guess keys, nor be flooded.
const (
	pastedKeysPerPerson  = 10
	pastedKeysPerAddress = 120
)

// How many connect requests to providers may begin per minute. Each is a record
// here and some requests to the server and its provider.
const (
	connectsPerPerson  = 20
	connectsPerAddress = 120
)

// wrongSecretsPerAddress is how many wrong secrets of one kind an address may
// present per minute. A right one always passes, whatever was sent before: who
// shares the address with somebody who guesses is not shut out.
const wrongSecretsPerAddress = 60

// authFailuresPerClient is how often a client may fail to prove who it is, per
// minute and address. Neither somebody elsewhere nor another client can lock
// out the rightful one.
const authFailuresPerClient = 10

// Kinds of secrets that are counted when they are wrong, as they are counted
// and as an operator reads them.
const (
	BearerToken          = "bearer"
	RegistrationToken    = "registration_token"
	InitialToken         = "initial_access_token"
	DashboardToken       = "dashboard_token"
	WorkloadToken        = "workload_token"
	clientAuthentication = "client_authentication"
	signIn               = "sign_in"
)

// Attempts counts what people, programs and unknown senders try at one site.
type Attempts struct {
	Issuer  string
	Origins oauth.Origins
	// UnprovedPerMinute bounds, for each address, sign-ins that prove nothing; 0
	// sets no bound.
	UnprovedPerMinute int
	Limiter           *Limiter
	ClientIP          func(*http.Request) string
	Events            *event.Recorder
}

// AllowWrongSignIn reports whether somebody who signs in with a wrong secret may hear
// so, or has given too many. who is a flow's ID, or empty for nobody yet; the
// address of the request counts too. Each call counts.
func (a *Attempts) AllowWrongSignIn(r *http.Request, who string) bool {
	return a.reported(r, signIn, a.allowPerson(r, "wrong_sign_in", who, wrongSignInsPerPerson, wrongSignInsPerAddress))
}

// AllowPastedKey reports whether who, a flow's ID or a subject, may have one
// more key tried at an MCP server. Each call counts.
func (a *Attempts) AllowPastedKey(r *http.Request, who string) bool {
	return a.allowPerson(r, "pasted_key", who, pastedKeysPerPerson, pastedKeysPerAddress)
}

// AllowUnproved reports whether somebody at the address the request comes from
// may sign in once more without proving who they are. Each is a record here,
// and leads to more, so it is bounded as registrations are. Each call counts.
func (a *Attempts) AllowUnproved(r *http.Request) bool {
	return a.allowShared(r, "unproved", a.UnprovedPerMinute)
}

// AllowKnown reports whether somebody who is known by their browser, and never proved
// who they are, may take on one more flow. Each call counts, for this process alone:
// all processes counted their sign-in, and what they may approve has a quota.
func (a *Attempts) AllowKnown(r *http.Request) bool {
	return a.AllowAddress(r, "unproved", a.UnprovedPerMinute)
}

// AllowRegistration reports whether a client may be registered once more from the
// address that a request comes from. Each call counts.
func (a *Attempts) AllowRegistration(r *http.Request, perMinute int) bool {
	return a.allowShared(r, "register", perMinute)
}

// AllowConnect reports whether who, a flow's ID or a subject, may begin one more
// connect request. Each call counts.
func (a *Attempts) AllowConnect(r *http.Request, who string) bool {
	return a.allowPerson(r, "connect", who, connectsPerPerson, connectsPerAddress)
}

// AllowWrongSecret reports whether somebody who presented a wrong secret of the
// kind may hear so, or has presented too many. Each call counts.
//
// Wrong access tokens are counted by each process for itself: nobody guesses 32
// random bytes, however many processes they ask, and calls must not write to the
// store.
func (a *Attempts) AllowWrongSecret(r *http.Request, kind string) bool {
	allow := a.allowShared
	if kind == BearerToken {
		allow = a.AllowAddress
	}
	return a.reported(r, kind, allow(r, "wrong_"+kind, wrongSecretsPerAddress))
}

// AllowWrongClient reports whether somebody who failed to prove that they are
// the client may hear so, or has failed too often. Each call counts.
func (a *Attempts) AllowWrongClient(r *http.Request, clientID string) bool {
	kind := KindFor("client_auth", a.Origins.FromForeignPage(r))
	return a.reported(r, clientAuthentication, a.Limiter.AllowShared(r.Context(), kind, a.ClientIP(r), a.Issuer+" "+clientID, authFailuresPerClient))
}

// AllowAddress counts an event at this site, in this process, for the address that a
// request comes from, and reports whether it may happen.
func (a *Attempts) AllowAddress(r *http.Request, kind string, perMinute int) bool {
	return a.Limiter.AllowFor(KindFor(kind, a.Origins.FromForeignPage(r)), a.ClientIP(r), a.Issuer, perMinute)
}

// allowShared is AllowAddress for all processes that share the store.
func (a *Attempts) allowShared(r *http.Request, kind string, perMinute int) bool {
	return a.Limiter.AllowShared(r.Context(), KindFor(kind, a.Origins.FromForeignPage(r)), a.ClientIP(r), a.Issuer, perMinute)
}

// allowPerson counts an event for an address and for a person there. The
// address comes first: persons can be made up.
func (a *Attempts) allowPerson(r *http.Request, kind, who string, perPerson, perAddress int) bool {
	counts := []count{{KindFor(kind+"_address", a.Origins.FromForeignPage(r)), a.ClientIP(r), a.Issuer, perAddress}}
	if who != "" {
		counts = append(counts, count{kind + "_person", a.Issuer + " " + who, "", perPerson})
	}
	return a.Limiter.allowShared(r.Context(), counts...)
}

// reported returns allowed, which tells whether a wrong secret was within its
// limit. Of one that was not the operator reads, once a minute for an address.
func (a *Attempts) reported(r *http.Request, kind string, allowed bool) bool {
	if !allowed && a.Limiter.AllowFor("guesses_reported", a.ClientIP(r), kind, 1) {
		a.Events.Record(a.Events.Of(r), event.Event{Kind: event.GuessingSuspected, Reason: kind, Address: AddressBlock(a.ClientIP(r))})
	}
	return allowed
}

// KindFor returns the kind under which an event is counted for an address. What
// a web page from elsewhere makes a browser send is counted apart: it must not
// use up what the person at that browser, and their other programs, have.
func KindFor(kind string, foreignPage bool) string {
	if foreignPage {
		return kind + "_foreign_page"
	}
	return kind
}
