package storage

// Verdict is the outcome of a verb that two callers can race for. Each says one
// thing, whichever verb answers with it.
type Verdict int

const (
	// Unknown: there is no such record. Never confuse it with OK: it is the zero value.
	Unknown Verdict = iota
	// OK: this caller won; the effects are committed.
	OK
	// Expired: the record ended before the call.
	Expired
	// Revoked: the grant that the record belongs to was revoked.
	Revoked
	// WrongClient: the code or refresh token was issued to another client, at
	// another issuer, or for another redirect URI. Nothing was changed.
	WrongClient
	// WrongBrowser: the connect state is bound to another browser. Nothing was changed.
	WrongBrowser
	// ProofFailed: a wrong code verifier made the code worthless, now or earlier.
	ProofFailed
	// Replayed: the code or refresh token was used before by its rightful
	// owner, so somebody holds a copy. The grant has been revoked.
	Replayed
	// Repeated: the refresh token was used a moment ago, and its outcome is
	// handed out again, unchanged.
	Repeated
	// Submitted: the flow ended before.
	Submitted
	// Changed: the record is not the one that the caller decided on.
	Changed
	// AlreadyUsed: the one-time value was used before.
	AlreadyUsed
	// SignedOut: the person who began is not signed in any more.
	SignedOut
	// DisconnectedSince: the connection was ended after somebody began to make it.
	DisconnectedSince
	// LeaseHeld: another caller holds the lease.
	LeaseHeld
	// LeaseExpired: a lease ran out without a result.
	LeaseExpired
)

var verdictNames = [...]string{
	"unknown", "OK", "expired", "revoked", "wrong client", "wrong browser", "proof failed", "replayed", "repeated",
	"submitted", "changed", "already used", "signed out", "disconnected since", "lease held", "lease expired",
}

func (v Verdict) String() string { return verdictNames[v] }
