package accounts

import (
	"fmt"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
)

// Problem is why connecting failed. It is all that a person may be told: a
// provider's own words are neither shown nor logged.
type Problem string

// The problems.
const (
	// UnknownServer: there is no such server, or it is not connected this way.
	UnknownServer Problem = "unknown_server"
	// RequestEnded: the answer belongs to no pending request: it came late, or twice.
	RequestEnded Problem = "trip_ended"
	// OtherBrowser: the answer came in another browser than the request.
	OtherBrowser Problem = "other_browser"
	// Left: whoever began has signed out since, was signed out, or somebody
	// else is there now.
	Left Problem = "left"
	// Replaced: meanwhile the service was connected in another way.
	Replaced Problem = "replaced"
	// NotThatProvider: the answer is not from the provider the person was sent to.
	NotThatProvider Problem = "not_that_provider"
	// Declined: the person, or the provider for them, said no.
	Declined = Problem(client.Declined)
	// ProviderRefused: the provider refused our request.
	ProviderRefused = Problem(client.ProviderRefused)
	// ProviderDown: the provider or the server did not answer, or only that it cannot.
	ProviderDown = Problem(client.ProviderDown)
	// ProviderUnusable: what the server or the provider says about itself
	// breaks a rule that protects people. An operator has to look.
	ProviderUnusable = Problem(client.ProviderUnusable)
	// Unsupported: it works in a way that is of no use here, and will tomorrow.
	// An operator has to look.
	Unsupported = Problem(client.Unsupported)
	// NotRegistered: the provider wants a client that an operator registers.
	NotRegistered = Problem(client.NotRegistered)
	// WrongKey: the server does not take the pasted key.
	WrongKey Problem = "wrong_key"
)

// NeedsOperator reports whether trying again is of no use, or should not be
// necessary, without an operator who looks.
func (p Problem) NeedsOperator() bool {
	switch p {
	case NotThatProvider, ProviderRefused, ProviderUnusable, Unsupported, NotRegistered:
		return true
	}
	return false
}

// Error is a Problem and, for the log, its cause. What is not an Error came
// from the store.
type Error struct {
	Problem Problem
	Cause   error
}

func (e *Error) Error() string {
	if e.Cause == nil {
		return "upstream: " + string(e.Problem)
	}
	return "upstream: " + string(e.Problem) + ": " + e.Cause.Error()
}

func (e *Error) Unwrap() error { return e.Cause }

func problem(p Problem, cause error) *Error { return &Error{Problem: p, Cause: cause} }

func problemf(p Problem, format string, args ...any) *Error {
	return problem(p, fmt.Errorf(format, args...))
}
