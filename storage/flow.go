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

// Submission ends a flow.
type Submission struct {
	FlowID string
	Issuer string
	// Identity is whom the person saw on the page they submitted.
	Identity Identity
	Grant    *Grant // nil when the person refused
	Code     *Code  // nil when the person refused
	// Adopt are the connections made in this flow, sealed anew for their
	// owner. Each has the ID of the one that it replaces or, where the owner has
	// none for the server, of the flow's. Revision is the one of the flow's
	// connection it was made from; if that changed since, the owner has another
	// connection by now, or the flow one that is not here, the verdict is Mismatch.
	// The flow's connections are removed, also when the person refused.
	Adopt []ConnectionReplacement
	// Browser signs the browser of the person who approved in to the account
	// and connect pages; nil does not. It is Identity's.
	Browser    *SignIn
	KeepClient time.Duration
	// Quota is nil when the person proved who they are. Else anybody can have
	// made the grant, and its client counts towards the quota, not as used.
	Quota *Quota
	Now   time.Time
}
