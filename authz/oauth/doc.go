// Package oauth is the vocabulary that both OAuth sides of this module share:
// the authorization server for MCP clients, and the client of the providers
// behind MCP servers.
//
// It owns: error responses and JSON answers, CORS, forms and parameters, scopes,
// resource identifiers (RFC 8707), redirect URIs and their schemes, PKCE (RFC
// 7636), random secrets, bearer tokens and challenges (RFC 6750), metadata
// documents (RFC 8414, RFC 9728), client metadata (RFC 7591) and the names of
// client authentication methods, and what counts as this machine.
//
// It never reads a store or a configuration, and never makes a request: what is
// here is values and functions over them.
package oauth
