// Package mcp holds what a gate must know of MCP's Streamable HTTP transport:
// the revisions in which it has sessions, how a session id is bound to the
// grant that opened it, and the JSON-RPC shape of an error.
//
// It never parses a message and keeps no state: a bound session id carries its
// own proof.
//
//	upstream ─▶ Mcp-Session-Id: abc ─▶ Wrap ─▶ Mcp-Session-Id: abc.<mac> ─▶ client
//	client   ─▶ Mcp-Session-Id: abc.<mac> ─▶ Unwrap ─▶ Mcp-Session-Id: abc ─▶ upstream
//	                                            └─▶ somebody else's: 404, the client starts anew
package mcp
