// Package client is this site as an OAuth client of other authorization
// servers: of those that MCP servers name, and of whatever else the site signs
// in at or gets tokens from.
//
// It owns: finding the authorization server of a resource (RFC 9728, RFC 8414),
// asking an MCP server who it is, being registered (our client ID metadata
// document, RFC 7591), the authorization request (RFC 6749 section 4.1, RFC
// 7636), client authentication (RFC 7523), the token endpoint, revocation
// (RFC 7009), reading answers that do not follow the standards, and what refusals
// mean.
//
// It never stores anything, tries anything a second time that could have been
// done already, or repeats a provider's words. It knows nothing of people,
// connections or this site's servers: who they are for is for the caller.
//
//	Discover     ─▶ challenge ─▶ resource metadata ─▶ provider metadata ─▶ Provider
//	Probe        ─▶ a request that changes nothing ─▶ what the server says to the credentials
//	Register     ─▶ Registration; Profile.Documents and DocumentCredentials in its stead
//	RedeemCode, Refresh ─▶ Tokens, or how far it got: TokenError
//	RevokeToken  ─▶ done, or to be asked again
//
// Every address that a server or a provider names goes through the egress
// guard. Only the origins in the operator's own configuration are reached
// wherever they are.
package client
