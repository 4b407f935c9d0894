// Package mcp holds what a gate must know of MCP's Streamable HTTP transport:
// the revisions in which it has sessions, how a session id is bound to the
// grant that opened it, which request a body holds, and how a client is told
// that a person has to connect a server first.
//
// What a body asks for, and so what an operator's rules decide, Scan tells: in one
// strict pass, also of a body that is on its way.
//
// It keeps no state: a bound session id and a request state carry their own
// proof. It parses a message only when a decision needs what is in it.
//
//	upstream ─▶ Mcp-Session-Id: abc ─▶ Wrap ─▶ Mcp-Session-Id: abc.<mac> ─▶ client
//	client   ─▶ Mcp-Session-Id: abc.<mac> ─▶ Unwrap ─▶ Mcp-Session-Id: abc ─▶ upstream
//	                                            └─▶ somebody else's: 404, the client starts anew
//
//	no connection ─▶ ParseRequest ─┬▶ WriteInputRequired           declared in this request
//	                               ├▶ WriteURLElicitationRequired  declared at initialize
//	                               └▶ WriteToolError, or what OAuth has for it
//	retry with our requestState ─▶ Take ─▶ the request as if it had never been asked
package mcp
