package accounts

import (
	"context"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// seen is what there was when a person began to connect something: the IDs of
// the connections, each empty if there was none. What they began replaces that
// and nothing else.
type seen struct {
	// Connection is the owner's.
	Connection string `json:"connection,omitempty"`
	// Persons is that of the person in whose pending flow it began, which is
	// replaced when the flow ends.
	Persons string `json:"persons,omitempty"`
	// Disconnect is the last one of the owner's: what began before another is
	// not kept, also where there was nothing to disconnect yet.
	Disconnect uint64 `json:"disconnect,omitempty"`
}

// see returns what there is now. The owner's connection was read already.
func (b *Broker) see(ctx context.Context, k storage.ConnectionKey, owners storage.Connection, s *Server, p storage.Authentication) (seen, error) {
	last, err := b.deps.Store.LastDisconnect(ctx, k)
	if err != nil {
		return seen{}, err
	}
	now := seen{Connection: owners.ID, Disconnect: last}
	if p.FlowID == "" {
		return now, nil
	}
	persons, err := b.find(ctx, b.key(p.Identity.Subject, s))
	now.Persons = persons.ID
	return now, err
}
