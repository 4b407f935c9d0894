package storage

import "time"

// UpstreamClient is what the gateway is known as at a provider.
type UpstreamClient struct {
	Issuer   string `json:"issuer"`   // ours
	Provider string `json:"provider"` // the issuer of the provider
	// Server scopes the registration to one upstream server: redirect URIs differ.
	Server    string    `json:"server"`
	Secret    []byte    `json:"secret"` // sealed client ID, secret, metadata
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}
