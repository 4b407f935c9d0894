// Package accounts is the gateway as an OAuth client: it connects people to
// the providers of the MCP servers behind the site, and keeps what they
// connected.
//
// It owns: finding a server's authorization server (RFC 9728, RFC 8414),
// being registered there (pre-registered, our own client ID metadata document,
// RFC 7591), the trip of a browser to the provider and back (RFC 6749 section
// 4.1, RFC 7636, RFC 9207), the vault of sealed credentials, their refresh,
// and their revocation (RFC 7009).
//
// It never renders a page, never sees a client's token, and never proxies a
// call. What it returns to be shown is a fixed code, never a provider's words.
//
//	Begin          ─▶ discover ─▶ our client there ─▶ state, verifier, issuer recorded ─▶ URL for the browser
//	Finish         ─▶ claim the state ─▶ browser, path, iss ─▶ exchange the code ─▶ connection
//	ConnectHeaders ─▶ try the key on the server ─▶ connection
//	Credential     ─▶ what to put on a call: from memory, refreshed once, ahead of its end
//	Refused        ─▶ what to try when the upstream took that for invalid
//	Adopt          ─▶ a flow's connections, sealed for who they will belong to
//	Disconnect     ─▶ gone here ─▶ queue ─▶ RevokeDue tells the provider
//	replaced, or never finished ─▶ queue ─▶ RevokeDue, if that harms nothing that the person has
//	Status         ─▶ how a person stands with each server; Overviews, all of them for an operator
//
// Every address that a server or a provider names goes through the egress
// guard. Only the origins in the operator's own configuration are reached
// wherever they are.
package accounts
