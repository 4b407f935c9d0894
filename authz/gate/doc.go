// Package gate decides whether a call may pass to an MCP server: from the bearer
// token to the caller, or to the challenge that leads a client to sign in.
//
//	call ─▶ Gate.Check: bearer ─▶ SHA-256 ─▶ tokens.Cache ─▶ tokens.Caller | challenge
//
// A call that passes changes nothing, waits for no lock that a write holds, and
// allocates nothing while its token is cached. What a token is good for is the
// rule of grants.Policy.Admits; the gate adds the scopes that the server's calls
// need. The gate never forwards a call, and issues nothing.
package gate
