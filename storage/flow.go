package storage

import "time"

// Flow is what a person has decided so far about one authorization request.
// The request itself is not here: it travels sealed with the browser, so
// unauthenticated requests leave nothing in the store.
type Flow struct {
	ID       string   `json:"id"` // also inside the sealed request
	Issuer   string   `json:"issuer"`
	Identity Identity `json:"identity"`
	// Browser is the hash of the cookie that binds the flow to one browser.
	Browser Hash `json:"browser,omitzero"`
	// Submitted marks a flow that ended in a grant or a refusal. It stays
	// until ExpiresAt so that a second submit is told apart from an expired one.
	Submitted bool      `json:"submitted"`
	ExpiresAt time.Time `json:"expires_at"`
}
