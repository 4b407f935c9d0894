package sealed

import (
	"strconv"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// SigningKeysName is the name of the site value that is sealed.
const SigningKeysName = "signing keys"

// tracesPrefix begins the names of the site values with traces of flows.
const tracesPrefix = "traces "

// TracesName is the name of the i-th site value with traces of flows, which are
// sealed.
func TracesName(i int) string { return tracesPrefix + strconv.Itoa(i) }

// catalogPrefix begins the names of the site values with what servers said that they
// offer.
const catalogPrefix = "catalog "

// CatalogName is the name of the site value with what a server said that it offers,
// which is sealed.
func CatalogName(server string) string { return catalogPrefix + server }

// CatalogOf returns the server of a site value with a CatalogName.
func CatalogOf(name string) (server string, ok bool) { return strings.CutPrefix(name, catalogPrefix) }

// Catalog is the context of the site value with one of the CatalogNames, which is in
// base64url.
func Catalog(issuer, name string) []string { return []string{name, issuer} }

const (
	pinsPrefix      = "pinned tools "
	approvalsPrefix = "approved tools "
)

// PinsName is the name of the site value with the definitions of a server's tools that
// were approved, which is sealed.
func PinsName(server string) string { return pinsPrefix + server }

// PinsOf returns the server of a site value with a PinsName.
func PinsOf(name string) (server string, ok bool) { return strings.CutPrefix(name, pinsPrefix) }

// ApprovalsName is the name of the site value with what somebody approved for
// themselves of a server's tools, which is sealed.
func ApprovalsName(server, subject string) string { return approvalsPrefix + server + " " + subject }

// ApprovalsOf returns the server and the person of a site value with an ApprovalsName.
func ApprovalsOf(name string) (server, subject string, ok bool) {
	rest, ok := strings.CutPrefix(name, approvalsPrefix)
	server, subject, _ = strings.Cut(rest, " ") // which no id of a server has
	return server, subject, ok
}

// Pins is the context of the site value with one of the PinsNames or ApprovalsNames,
// which is in base64url.
func Pins(issuer, name string) []string { return []string{name, issuer} }

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
