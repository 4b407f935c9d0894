package storage

import (
	"encoding/json"
	"time"
)

// Identity is who a person proved, or claimed, to be.
type Identity struct {
	// Kind names the way to sign in.
	Kind string `json:"kind"`
	// Subject is unique within the issuer over all kinds.
	Subject string `json:"subject"`
	// Name is what a person recognises themselves by. Never a key.
	Name string `json:"name,omitempty"`
	// Proof tells what proved it from what did before or will later, where that
	// can change under the same Subject. It is no secret.
	Proof string `json:"proof,omitempty"`
	// Person is the ID of the Person of a kind that has such records, else empty.
	// A record of theirs is absent while the Person is not there under this ID.
	Person string `json:"person,omitempty"`
	// ProviderSession is the session at the identity provider that this came from
	// (sid of OpenID Connect), if the provider tells.
	ProviderSession string `json:"provider_session,omitempty"`
	// Claims are nil without a Person, and else are not. The store fills them in whenever it returns
	// an access token, a grant, a flow or a browser session.
	Claims *Claims `json:"-"`
}

// Claims are what an identity provider says of a person. They are read-only:
// whoever reads a record shares them with others.
type Claims struct {
	// Email is empty unless the provider says that it verified it.
	Email  string   `json:"email,omitempty"`
	Name   string   `json:"name,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Extra are the other claims that the operator asked for, by name.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`
	// VerifiedAt is when the provider last said so, and Renewable whether it can be
	// asked again without the person. Both are the Person's.
	VerifiedAt time.Time `json:"-"`
	Renewable  bool      `json:"-"`
}

// Same reports whether both are the same person by the same proof. Whoever was
// given a name together with another key is not who had the name before.
func (i Identity) Same(other Identity) bool {
	return i.Kind == other.Kind && i.Subject == other.Subject && i.Proof == other.Proof
}

// Authentication is a person who is signed in at our pages, in a browser session
// or in a pending flow. What they begin there, such as connecting an account, is
// worth nothing once it has ended.
type Authentication struct {
	Identity Identity `json:"identity"`
	// Session is of the browser session, FlowID of the flow: one of the two.
	Session Hash   `json:"session,omitzero"`
	FlowID  string `json:"flow_id,omitempty"`
}
