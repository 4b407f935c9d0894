package storage

import "time"

// Owners of the connect states of people who are not signed in yet: they were sent
// elsewhere to sign in, or are to be handed over to the browser of one who was.
const (
	LoginOwner   = "login"
	VoucherOwner = "voucher"
)

// ConnectState belongs to a person who was sent to a provider to connect an account,
// from our redirect to the provider's answer (RFC 6749 section 4.1.1). Everything
// that the answer is checked against was recorded before the person left.
type ConnectState struct {
	// Hash is of the state parameter.
	Hash Hash `json:"-"`
	ConnectionKey
	// Browser is the hash of the cookie that binds it to one browser.
	Browser Hash `json:"browser"`
	// Session is the browser session that whoever left is signed in by, or zero. It is
	// asked for once they are back.
	Session Hash `json:"session,omitzero"`
	// Flow and Client are the flow that whoever left is to sign in for and the
	// registration of its client, or empty. They are asked for once they are back.
	Flow   string `json:"flow,omitempty"`
	Client string `json:"client,omitempty"`
	// Provider is the issuer that must answer (RFC 9207 section 2.4).
	Provider string `json:"provider"`
	// Secret is sealed: code verifier, endpoints, client, requested scopes and
	// resource, where to go afterwards.
	Secret    []byte    `json:"secret"`
	ExpiresAt time.Time `json:"expires_at"`
}
