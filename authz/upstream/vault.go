package upstream

import (
	"context"
	"errors"
)

// Errors of Credential and Refused. Any other came from the store.
var (
	// ErrNotConnected: the owner has not connected the server.
	ErrNotConnected = errors.New("upstream: not connected")
	// ErrUnavailable: the provider does not answer at the moment.
	ErrUnavailable = errors.New("upstream: provider unavailable")
)

// Credential is what a call carries to its upstream.
type Credential struct {
	// Headers are set on the request, in this order.
	Headers []CredentialHeader
}

// CredentialHeader is a header in canonical form and its value.
type CredentialHeader struct{ Name, Value string }

// Credential returns what the owner's calls to the server carry.
func (b *Broker) Credential(ctx context.Context, owner, server string) (*Credential, error) {
	return nil, ErrNotConnected
}

// Refused tells that the upstream answered 401 to a call with c, and returns
// what to try instead, once.
func (b *Broker) Refused(ctx context.Context, owner, server string, c *Credential) (*Credential, error) {
	return nil, ErrNotConnected
}
