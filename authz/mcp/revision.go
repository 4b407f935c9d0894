package mcp

// Headers of the Streamable HTTP transport, in canonical form.
const (
	HeaderSessionID       = "Mcp-Session-Id"
	HeaderProtocolVersion = "Mcp-Protocol-Version"
)

// Revisions of MCP are dates, so they order as text.
const (
	// June2025 is the first whose clients name it in a header.
	June2025 = "2025-06-18"
	// November2025 is the last with sessions. It is the first whose clients take
	// a 403 with insufficient_scope for an invitation to ask for more, and that
	// has an error which asks for a URL to be opened.
	November2025 = "2025-11-25"
	// Stateless is the first without sessions.
	Stateless = "2026-07-28"
)

// HasSessions reports whether a request with this MCP-Protocol-Version header
// can belong to an MCP session. A request without the header is of an older
// revision. From Stateless on a server ignores a session id, so a gate drops it
// and does not answer 404, which there means an unknown method.
func HasSessions(protocolVersion string) bool { return protocolVersion < Stateless }
