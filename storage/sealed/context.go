package sealed

import (
	"strconv"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// SigningKeysName is the name of the site value that is sealed.
const SigningKeysName = "signing keys"

// tracesPrefix begins the names of the site values with traces of flows.
const tracesPrefix = "traces "

// TracesName is the name of the i-th site value with traces of flows, which are
// sealed.
func TracesName(i int) string { return tracesPrefix + strconv.Itoa(i) }

// Connection is the context of Connection.Secret.
func Connection(k storage.ConnectionKey, id string) []string {
	return []string{"connection", k.Issuer, k.Owner, k.Server, id}
}

// Revocation is the context of ProviderRevocation.Secret.
func Revocation(issuer, server, id string) []string {
	return []string{"revocation", issuer, server, id}
}

// ConnectState is the context of ConnectState.Secret.
func ConnectState(k storage.ConnectionKey, state storage.Hash) []string {
	switch k.Owner {
	case storage.LoginOwner:
		return []string{"login", k.Issuer, string(state[:])}
	case storage.VoucherOwner:
		return []string{"voucher", k.Issuer, string(state[:])}
	}
	return []string{"trip", k.Issuer, k.Owner, k.Server, string(state[:])}
}

// UpstreamClient is the context of UpstreamClient.Secret.
func UpstreamClient(issuer, provider, server string) []string {
	return []string{"upstream client", issuer, provider, server}
}

// Person is the context of Person.Secret.
func Person(p storage.Person) []string { return []string{"person", p.Issuer, p.Subject, p.Proof} }

// SignOutHint is the context of the Secret of Person.SignOut.
func SignOutHint(p storage.Person) []string {
	return []string{"sign-out hint", p.Issuer, p.Subject, p.Proof}
}

// Traces is the context of the site value with one of the TracesNames, which is in
// base64url.
func Traces(issuer, name string) []string { return []string{name, issuer} }

// SigningKeys is the context of the site value with SigningKeysName, which is in
// base64url.
func SigningKeys(issuer string) []string { return []string{SigningKeysName, issuer} }
