package upstream

import (
	"context"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Answer is what a provider sent a browser back with.
type Answer struct {
	// State, Code, Iss and Error are the parameters of the answer (RFC 6749
	// section 4.1.2, RFC 9207 section 2); each empty when absent.
	State, Code, Iss, Error string
	// Path is the path of ours that was called.
	Path string
	// Browser is the hash of the browser's cookie.
	Browser storage.Hash
}

// Outcome is how a trip ended.
type Outcome struct {
	Server   string
	Owner    string
	ReturnTo string
	// Connected tells that the connection works now.
	Connected bool
}

// Finish ends a trip, once: it checks the answer against what was recorded,
// exchanges the code and stores the connection. With an Error, the Outcome
// still says where the person came from, unless the trip is not theirs.
func (b *Broker) Finish(ctx context.Context, a Answer) (Outcome, error) {
	return Outcome{}, problem(TripEnded, nil)
}
