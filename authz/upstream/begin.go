package upstream

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Trip is a person's way to a provider and back.
type Trip struct {
	Server string
	// Owner will own the connection.
	Owner string
	// Browser is the hash of the cookie that the answer must come with.
	Browser storage.Hash
	// ReturnTo is where the person goes on afterwards: a path of ours.
	ReturnTo string
	// Scopes are asked for besides what the server needs and the connection has.
	Scopes []string
	// KeepUntil is when the connection of a pending flow is forgotten. Zero
	// for any other owner.
	KeepUntil time.Time
}

// Begin records a trip and returns the provider's URL to send the browser to.
// It is called only after the person agreed on a page of ours: before that,
// nothing is recorded that an answer could belong to.
func (b *Broker) Begin(ctx context.Context, t Trip) (authorizeURL string, err error) {
	return "", problem(UnknownServer, nil)
}
