package storage

import "encoding/json"

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
	// Claims are what an identity provider last said of the person; nil for kinds
	// without one. They are no part of who somebody is.
	Claims *Claims `json:"claims,omitempty"`
}

// Claims are what an identity provider says of a person.
type Claims struct {
	// Email is empty unless the provider says that it is verified.
	Email string `json:"email,omitempty"`
	// Name is for people to read. Others may have the same.
	Name   string   `json:"name,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Extra are the other claims that the configuration asks to keep, by name.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`
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
