package event

import "go.uber.org/zap/zapcore"

// Kind is what happened.
type Kind uint8

// The kinds, in the order of their table. A name is a noun, a dot, and what
// happened to it.
const (
	_ Kind = iota

	ClientRegistered
	ClientRegistrationRefused
	ClientChanged
	ClientDeleted
	ClientDocumentUnreachable

	SignInStarted
	SignInSucceeded
	SignInRefused
	SignInFailed
	SignInEnded
	ConsentGiven
	ConsentDenied

	ConnectionStarted
	ConnectionConnected
	ConnectionRefused
	ConnectionFailed
	ConnectionLost
	ConnectionDisconnected
	ConnectionRefreshFailed
	ConnectionDoubted
	ConnectionUnnamed
	RecordDamaged
	StoreFailed
	StoreUnreachable
	StoreRecovered
	RevocationFailed
	ProviderRegistrationReplaced
	ProviderRegistrationFailed

	TokenIssued
	TokenRefreshed
	TokenRefused
	TokenRevoked
	TokenReuseDetected
	TokenMisused
	GrantChanged
	GrantEnded
	PersonEnded
	PersonLeft
	PersonWithoutGroups

	GateRefused
	CallRefused
	CallNeedsAccount
	CallFailed
	ServerFailed
	ServerUnreachable
	ServerMisconfigured
	ToolsPinned
	ToolChanged
	ToolApproved

	ProviderUnreachable
	ProviderRecovered
	GuessingSuspected

	KeyMade
	KeyChanged
	KeyDeleted
	KeyShadowed
	KeyUnreadable
	InitialTokenMade
	InitialTokenDeleted
	SigningKeyMade
	SigningKeysReplaced
	SigningKeysUnreadable
	OperatorActed
	AuditFailed
	HandlersTooSlow

	LogoutRefused
	DashboardRefused
	DashboardFailed
	RequestRefused
	RequestFailed
	PageRefused
	PageFailed
	SiteUnavailable
	InstancesDiffer
	InstancesAgree
	Suppressed

	MetadataServed
	CallPassed
	LinkOpened
	LinkUsed
	ConnectionRefreshed

	kindsEnd
)

// Outcome is how something ended, usable as the label of a metric.
type Outcome string

// The outcomes.
const (
	Started   Outcome = "started"
	Succeeded Outcome = "succeeded"
	Refused   Outcome = "refused" // who asked is not to have it
	Failed    Outcome = "failed"  // something does not work
	Ended     Outcome = "ended"
)

type kind struct {
	name    string
	message string // of its line in the log
	level   zapcore.Level
	outcome Outcome
	// anybody tells that it is no refusal or failure, and that still who is nobody
	// here can cause it as often as they like.
	anybody bool
}

const (
	debug = zapcore.DebugLevel
	info  = zapcore.InfoLevel
	warn  = zapcore.WarnLevel
	fault = zapcore.ErrorLevel
)

// kinds is the one list of what can happen. docs/logs.md is made from it:
// go test ./internal/event -run TestDocumentation -update
var kinds = [kindsEnd]kind{
	ClientRegistered:          {"client.registered", "client registered", info, Succeeded, true},
	ClientRegistrationRefused: {"client.registration_refused", "client registration refused", info, Refused, false},
	ClientChanged:             {"client.changed", "client changed its registration", info, Succeeded, true},
	ClientDeleted:             {"client.deleted", "client deleted its registration", info, Ended, true},
	ClientDocumentUnreachable: {"client_document.unreachable", "the metadata document of a client could not be fetched", warn, Failed, false},

	SignInStarted:   {"sign_in.started", "sign-in started", info, Started, true},
	SignInSucceeded: {"sign_in.succeeded", "signed in", info, Succeeded, true},
	SignInRefused:   {"sign_in.refused", "sign-in refused", info, Refused, false},
	SignInFailed:    {"sign_in.failed", "sign-in failed", warn, Failed, false},
	SignInEnded:     {"sign_in.ended", "signed out", info, Ended, false},
	ConsentGiven:    {"consent.given", "access approved", info, Succeeded, true},
	ConsentDenied:   {"consent.denied", "access denied", info, Refused, false},

	ConnectionStarted:      {"connection.started", "connecting an account started", info, Started, true},
	ConnectionConnected:    {"connection.connected", "account connected", info, Succeeded, true},
	ConnectionRefused:      {"connection.refused", "connecting an account refused", info, Refused, false},
	ConnectionFailed:       {"connection.failed", "connecting an account failed", warn, Failed, false},
	ConnectionLost:         {"connection.lost", "account works no more; its person has to connect it again", info, Ended, false},
	ConnectionDisconnected: {"connection.disconnected", "account disconnected", info, Ended, false},

	ConnectionRefreshFailed:      {"connection.refresh_failed", "a provider did not say whether it renewed an account; it is asked again", warn, Failed, false},
	ConnectionDoubted:            {"connection.doubted", "the MCP server answered 401 to a call, but did not reject the account when asked about it", warn, Failed, false},
	ConnectionUnnamed:            {"connection.unnamed", "what a connected account is called cannot be found out; it works without a name", warn, Failed, false},
	RevocationFailed:             {"revocation.failed", "a provider was not told what to revoke, or refused", warn, Failed, false},
	ProviderRegistrationReplaced: {"provider_registration.replaced", "people sent to a provider do not come back, as if it had forgotten this site; registered there again", warn, Succeeded, false},
	ProviderRegistrationFailed:   {"provider_registration.failed", "people sent to a provider do not come back, and registering there again failed; the registration of before is kept", warn, Failed, false},
	RecordDamaged:                {"record.damaged", "a stored record cannot be decrypted: it was changed or moved, or its encryption key is missing", fault, Failed, false},
	StoreFailed:                  {"store.failed", "the store failed at something that is done again", fault, Failed, false},
	StoreUnreachable:             {"store.unreachable", "the store cannot be reached", fault, Failed, false},
	StoreRecovered:               {"store.recovered", "the store works again", info, Succeeded, false},

	TokenIssued:         {"token.issued", "tokens issued", info, Succeeded, false},
	TokenRefreshed:      {"token.refreshed", "tokens refreshed", info, Succeeded, false},
	TokenRefused:        {"token.refused", "tokens refused", info, Refused, false},
	TokenRevoked:        {"token.revoked", "tokens revoked", info, Ended, false},
	TokenReuseDetected:  {"token.reuse_detected", "code or refresh token reuse detected", warn, Ended, false},
	TokenMisused:        {"token.misused", "code or refresh token presented by another client", warn, Refused, false},
	GrantChanged:        {"grant.changed", "grant changed", info, Succeeded, false},
	GrantEnded:          {"grant.ended", "grant ended", info, Ended, false},
	PersonEnded:         {"person.ended", "what a person had was ended", info, Ended, false},
	PersonLeft:          {"person.left", "the accounts that a person connected are kept for a week only", info, Ended, false},
	PersonWithoutGroups: {"person.without_groups", "a person who signs in has no groups here", warn, Failed, false},

	GateRefused:         {"gate.refused", "call refused by the gate", info, Refused, false},
	CallRefused:         {"call.refused", "call refused", info, Refused, false},
	CallNeedsAccount:    {"call.needs_account", "call needs an account of its person", info, Refused, false},
	CallFailed:          {"call.failed", "call failed", fault, Failed, false},
	ServerFailed:        {"server.failed", "the MCP server answers as none that works would", warn, Failed, false},
	ServerUnreachable:   {"server.unreachable", "the MCP server cannot be reached", fault, Failed, false},
	ServerMisconfigured: {"server.misconfigured", "the MCP server does not work with this configuration", fault, Failed, false},

	ToolsPinned:  {"tools.pinned", "the tools of an MCP server count as approved, as they are in its first list", info, Succeeded, false},
	ToolChanged:  {"tool.changed", "a tool of an MCP server is new, or defined otherwise than was approved", warn, Refused, false},
	ToolApproved: {"tool.approved", "definition of a tool approved", info, Succeeded, false},

	ProviderUnreachable: {"provider.unreachable", "a provider does not answer", warn, Failed, false},
	ProviderRecovered:   {"provider.recovered", "a provider answers again", info, Succeeded, false},
	GuessingSuspected:   {"guessing.suspected", "too many wrong secrets from one address; somebody may be guessing", warn, Refused, false},

	KeyMade:       {"key.made", "virtual key made", info, Succeeded, false},
	KeyChanged:    {"key.changed", "virtual key changed", info, Succeeded, false},
	KeyDeleted:    {"key.deleted", "virtual key deleted", info, Ended, false},
	KeyShadowed:   {"key.shadowed", "a virtual key that was made at run time is disabled, since the configuration has one of its name now; delete one of the two", warn, Ended, false},
	KeyUnreadable: {"key.unreadable", "the file of a virtual key has none; the one that was there before stays good until it has", warn, Failed, false},

	InitialTokenMade:    {"initial_access_token.made", "initial access token made", info, Succeeded, false},
	InitialTokenDeleted: {"initial_access_token.deleted", "initial access token deleted", info, Ended, false},

	SigningKeyMade:        {"signing_key.made", "signing key made", info, Succeeded, false},
	SigningKeysReplaced:   {"signing_keys.replaced", "signing keys replaced", warn, Ended, false},
	SigningKeysUnreadable: {"signing_keys.unreadable", "the signing keys cannot be read", warn, Failed, false},
	HandlersTooSlow:       {"handlers.too_slow", "the handlers of Caddy's events are too slow; some events were not handed to them", warn, Failed, false},
	AuditFailed:           {"audit.failed", "the audit log cannot be written", fault, Failed, false},
	OperatorActed:         {"operator.acted", "operator acted", info, Succeeded, false},

	LogoutRefused:    {"logout.refused", "a logout that an identity provider may have sent was refused", info, Refused, false},
	DashboardRefused: {"dashboard.refused", "request of the dashboard refused", info, Refused, false},
	DashboardFailed:  {"dashboard.failed", "request of the dashboard failed", warn, Failed, false},
	RequestRefused:   {"request.refused", "request refused", info, Refused, false},
	RequestFailed:    {"request.failed", "request failed", fault, Failed, false},
	PageRefused:      {"page.refused", "page refused", info, Refused, false},
	PageFailed:       {"page.failed", "page failed", fault, Failed, false},
	SiteUnavailable:  {"site.unavailable", "the store cannot be opened", fault, Failed, false},
	InstancesDiffer:  {"instances.differ", "the Caddys on one database are not configured alike, or a clock is wrong", warn, Failed, false},
	InstancesAgree:   {"instances.agree", "the Caddys on one database are configured alike again, or the clock is right", info, Succeeded, false},
	Suppressed:       {"event.suppressed", "more of the same, not logged one by one", info, "", false},

	// Steps of a client or person that decide nothing, for who asks how far they came.
	MetadataServed:      {"metadata.served", "metadata served", debug, Succeeded, false},
	CallPassed:          {"call.passed", "calls with a token pass the gate", debug, Succeeded, false},
	LinkOpened:          {"connect_link.opened", "link to connect an account opened", debug, Started, false},
	LinkUsed:            {"connect_link.used", "link to connect an account used", debug, Succeeded, false},
	ConnectionRefreshed: {"connection.refreshed", "account renewed at its provider", debug, Succeeded, false},
}

// String returns the name.
func (k Kind) String() string { return kinds[k].name }

// Message returns the message of its line in the log.
func (k Kind) Message() string { return kinds[k].message }

// Level returns the level of its line in the log.
func (k Kind) Level() zapcore.Level { return kinds[k].level }

// Outcome returns how it ended.
func (k Kind) Outcome() Outcome { return kinds[k].outcome }

// bounded reports whether the log has only so many lines of it.
func (k Kind) bounded() bool {
	return kinds[k].anybody || kinds[k].outcome == Refused || kinds[k].outcome == Failed || kinds[k].level > info
}

// Kinds returns every kind.
func Kinds() []Kind {
	all := make([]Kind, 0, kindsEnd)
	for k := Kind(1); k < kindsEnd; k++ {
		all = append(all, k)
	}
	return all
}
