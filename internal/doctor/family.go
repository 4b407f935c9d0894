package doctor

import "github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"

const march2025 = "2025-03-26"

// how a client makes itself known to an authorization server.
type registering string

const (
	byRegistration registering = "dynamic"
	byDocument     registering = "document"
	byConfig       registering = "configured"
)

// family is a kind of clients that do the same things in the same order.
type family struct {
	id, title, like string
	revision        string
	registers       registering
	// document is the client ID of a family that has a metadata document. The
	// authorization server fetches it; we do not.
	document string
	// redirect is where its authorization response goes. One on loopback is
	// asked for with another port than it was registered with.
	redirect string
	// origin is that of a page in a browser.
	origin string
	// hosted clients run on the internet.
	hosted bool
}

// Redirect URIs as real clients have them.
const (
	loopbackRedirect  = "http://127.0.0.1:33418/callback"
	localhostRedirect = "http://localhost:33418/callback"
	otherPort         = "33419"
	claudeRedirect    = "https://claude.ai/api/mcp/auth_callback"
	pageOrigin        = "http://localhost:6274"
	pageRedirect      = pageOrigin + "/oauth/callback"
)

// Metadata documents that clients publish.
const (
	claudeCodeDocument = "https://claude.ai/oauth/claude-code-client-metadata"
	claudeDocument     = "https://claude.ai/oauth/mcp-oauth-client-metadata"
)

// families are the clients that are played, the oldest first.
var families = []family{
	{
		id: "2025-03-26", title: "of 2025-03-26, registers itself", like: "early releases of mcp-remote and the SDKs",
		revision: march2025, registers: byRegistration, redirect: loopbackRedirect,
	},
	{
		id: "2025-06-18", title: "of 2025-06-18, registers itself", like: "releases of 2025 of Cline, opencode, mcp-remote",
		revision: mcp.June2025, registers: byRegistration, redirect: localhostRedirect,
	},
	{
		id: "2025-11-25", title: "of 2025-11-25, registers itself", like: "Gemini CLI, opencode, Cline, mcp-remote",
		revision: mcp.November2025, registers: byRegistration, redirect: localhostRedirect,
	},
	{
		id: "2025-11-25-document", title: "of 2025-11-25, has a metadata document", like: "Claude Code, Codex, GitHub Copilot CLI",
		revision: mcp.November2025, registers: byDocument, document: claudeCodeDocument, redirect: localhostRedirect,
	},
	{
		id: "2025-11-25-configured", title: "of 2025-11-25, configured with a client ID", like: "any client that takes one",
		revision: mcp.November2025, registers: byConfig, redirect: loopbackRedirect,
	},
	{
		id: "2026-07-28", title: "of 2026-07-28, registers itself", like: "applications of the SDKs v2",
		revision: mcp.Stateless, registers: byRegistration, redirect: loopbackRedirect,
	},
	{
		id: "2026-07-28-document", title: "of 2026-07-28, has a metadata document", like: "GitHub Copilot CLI, Mastra",
		revision: mcp.Stateless, registers: byDocument, document: claudeCodeDocument, redirect: localhostRedirect,
	},
	{
		id: "hosted", title: "on the internet, has a metadata document or registers itself", like: "Claude on the web and phones, ChatGPT",
		revision: mcp.November2025, registers: byDocument, document: claudeDocument, redirect: claudeRedirect, hosted: true,
	},
	{
		id: "browser", title: "a page in a browser, registers itself", like: "MCP Inspector, pages with an SDK",
		revision: mcp.November2025, registers: byRegistration, redirect: pageRedirect, origin: pageOrigin,
	},
}

// legacyTitle is of the family that only the deprecated transport has.
const (
	legacyID    = "http-sse"
	legacyTitle = "of 2024-11-05, HTTP+SSE transport"
)
