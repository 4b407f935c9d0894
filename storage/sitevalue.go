package storage

import "time"

// SiteValue is what a site keeps under a name across configurations and restarts,
// such as which keys it knew and when a person last proved who they are.
type SiteValue struct {
	Issuer string `json:"issuer"`
	Name   string `json:"name"`
	Text   string `json:"text"` // not empty
	// ExpiresAt is zero for what is kept until it is replaced.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}
