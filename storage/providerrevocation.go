package storage

import "time"

// ProviderRevocation is a token that a provider is still to be told to revoke
// (RFC 7009), after it has stopped working here.
type ProviderRevocation struct {
	ID       string    `json:"id"`
	Issuer   string    `json:"issuer"`
	Server   string    `json:"server"`
	Secret   []byte    `json:"secret"` // sealed tokens and where to revoke them
	Attempts int       `json:"attempts"`
	DueAt    time.Time `json:"due_at"`
	// ExpiresAt is when nobody tries any more.
	ExpiresAt time.Time `json:"expires_at"`
}
