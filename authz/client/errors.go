package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// Problem is the kind of an Error, and all of it that may be shown to a person: a
// provider's own words are neither shown nor logged.
type Problem string

// The problems.
const (
	// ProviderDown: the provider or the server did not answer, or only that it cannot.
	ProviderDown Problem = "provider_down"
	// ProviderUnusable: what the server or the provider says about itself
	// breaks a rule that protects people. An operator has to look.
	ProviderUnusable Problem = "provider_unusable"
	// ProviderRefused: the provider refused our request.
	ProviderRefused Problem = "provider_refused"
	// Unsupported: it works in a way that is of no use here, and will tomorrow.
	// An operator has to look.
	Unsupported Problem = "unsupported"
	// NotRegistered: the provider wants a client that an operator registers.
	NotRegistered Problem = "not_registered"
	// Declined: the person, or the provider for them, said no.
	Declined Problem = "declined"
	// NotThatProvider: the answer is not from the provider the person was sent to.
	NotThatProvider Problem = "not_that_provider"
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

// Error is a Problem and, for the log, its cause.
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

func newError(p Problem, cause error) *Error { return &Error{Problem: p, Cause: cause} }

// Errorf returns an Error whose cause is the formatted text.
func Errorf(p Problem, format string, args ...any) *Error {
	return newError(p, fmt.Errorf(format, args...))
}

// Unreachable returns the Error for a request that got no answer. Trying
// again does not help with a certificate that is not good, or an address that is
// not allowed: the cause names the option that may.
func Unreachable(err error) *Error {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return Errorf(ProviderUnusable, "its certificate is not accepted; have it renewed, or trust its authority on this machine: %w", transportError(err))
	case errors.Is(err, egress.ErrURL), errors.Is(err, egress.ErrAddress):
		return Errorf(ProviderUnusable, "only the internet over https is reached, unless the configuration names the address: %w", transportError(err))
	}
	return newError(ProviderDown, transportError(err))
}

// transportError returns what may be logged of a request that failed. Some
// errors of net/http quote what the other side wrote; those become a fixed one.
// The URL is left out: its query may hold a key.
func transportError(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, egress.ErrURL), errors.Is(err, egress.ErrAddress),
		errors.As(err, &network), errors.As(err, &certificate):
		return err
	}
	return errors.New("no proper HTTP answer")
}
