package storage

import (
	"context"
	"time"
)

// VirtualKey is a virtual key that an operator made while the site ran. The key
// itself is not kept.
type VirtualKey struct {
	Issuer string `json:"issuer"`
	// Look is what the name looks like. No two keys of an issuer have the same.
	Look string `json:"look"`
	Name string `json:"name"`
	Hash Hash   `json:"hash"`
	// Former is of the key before the last rotation, which is good until
	// FormerUntil; nil if there is none.
	Former      *Hash     `json:"former,omitempty"`
	FormerUntil time.Time `json:"former_until,omitzero"`
	// Servers are the ids of the MCP servers it is good for; none means all.
	Servers  []string `json:"servers,omitempty"`
	Disabled bool     `json:"disabled,omitempty"`
	// Withdrawn counts how often something was taken from the key: what was
	// approved before is not good any more, also if it is given back.
	Withdrawn uint64    `json:"withdrawn,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	RotatedAt time.Time `json:"rotated_at,omitzero"`
	// ExpiresAt is when the key stops being good, zero for never. The record is
	// kept until it is deleted.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Revision is the number that VirtualKeys returned with the last change of the
	// key. A change that was decided on another one is refused.
	Revision uint64 `json:"revision"`
}

// VirtualKeyStore keeps the virtual keys that operators made while the site ran.
type VirtualKeyStore interface {
	// VirtualKeys returns all keys of an issuer, by Look, and a number that grows
	// with each change of any of them.
	VirtualKeys(ctx context.Context, issuer string) ([]VirtualKey, uint64, error)
	// LastVirtualKeyChange returns that number alone, 0 if there never was a key.
	LastVirtualKeyChange(ctx context.Context, issuer string) (uint64, error)
	// PutVirtualKey stores a change of a key if its Revision is still the stored
	// one, Revision 0 meaning that there is none with its Look.
	//   OK       stored; it is returned with its next Revision.
	//   Changed  somebody changed, removed or made it since: nothing was changed,
	//            the current key is returned, if any.
	PutVirtualKey(ctx context.Context, k VirtualKey) (VirtualKey, Verdict, error)
	// DeleteVirtualKey removes a key if its Revision is still the stored one.
	//   OK       removed.
	//   Unknown  there is none.
	//   Changed  somebody changed it since: nothing was changed.
	DeleteVirtualKey(ctx context.Context, k VirtualKey) (Verdict, error)
}
