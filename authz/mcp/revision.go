package mcp

// Headers of the Streamable HTTP transport, in canonical form.
const (
	HeaderSessionID       = "Mcp-Session-Id"
	HeaderProtocolVersion = "Mcp-Protocol-Version"
)

// Revisions of MCP are dates.
const (
	// Stateless is the first revision without sessions.
	Stateless = "2026-07-28"
	// LastWithSessions is the one before.
	LastWithSessions = "2025-11-25"
	// FirstWithHeader is the first whose clients name it in a header.
	FirstWithHeader = "2025-06-18"
)

// HasSessions reports whether a request with this MCP-Protocol-Version header
// can belong to an MCP session. Revisions are dates, so they order as text; a
// request without the header is of an older revision. From Stateless on a
// server ignores a session id, so a gate drops it and does not answer 404,
// which there means an unknown method.
func HasSessions(protocolVersion string) bool { return protocolVersion < Stateless }
