package doctor

// Of what the MCP endpoint does with tokens and pages.
var (
	badTokenAccepted = define("bad_token_accepted", Failure,
		"a made-up token is good for calls",
		"MCP authorization, token handling",
		"Validate every token before a request is processed.")
	badTokenStatus = define("bad_token_status", Failure,
		"a bad token is not answered with 401",
		"MCP authorization, error handling; RFC 6750 section 3.1",
		"Answer 401 with a Bearer challenge. Clients take only that for an invitation to refresh or to sign in again.")
	badTokenError = define("bad_token_error", Note,
		"the challenge for a bad token does not say invalid_token",
		"RFC 6750 section 3.1",
		`Add error="invalid_token".`)
	streamOpen = define("stream_open", Failure,
		"event streams are open without a token",
		"MCP authorization, access token usage: every request",
		"Ask for the token on GET and DELETE as on POST.")
	originIgnored = define("origin_ignored", Warning,
		"web pages of any origin can call the server",
		"MCP transports, security warning: Origin",
		"Answer 403 to requests whose Origin is not one of yours.")
	tokenRefused = define("token_refused", Failure,
		"the token that was given for the examination is refused",
		"MCP authorization, token handling",
		"Give a token that is good for this server. One of another server, or of the provider behind, is refused rightly.")
)

// Of calls.
var (
	initializeFailed = define("initialize_failed", Failure,
		"initialize is not answered with a result",
		"MCP 2025-03-26 to 2025-11-25, lifecycle",
		"See in the log of the MCP server what it did not like. If it wants a token, it has to answer 401, not an error of JSON-RPC.")
	badSessionID = define("session_id", Failure,
		"the session ID has characters that a header cannot carry",
		"MCP 2025-03-26 to 2025-11-25, session management: visible ASCII",
		"Use a UUID or other text of visible ASCII.")
	sessionUnchecked = define("session_unknown", Warning,
		"a session that does not exist is not answered with 404",
		"MCP 2025-03-26 to 2025-11-25, session management",
		"Answer 404. Only then does a client open a new session.")
	versionIgnored = define("version_ignored", Warning,
		"a revision that does not exist is not answered with 400",
		"MCP 2025-06-18 and later, protocol version header",
		"Answer 400 to an MCP-Protocol-Version that the server does not support.")
	listFailed = define("list_failed", Failure,
		"tools/list is not answered with a result",
		"MCP tools, listing tools",
		"See in the log of the MCP server what it did not like.")
	discoverFailed = define("discover_failed", Failure,
		"the server says that it speaks 2026-07-28, and has no server/discover",
		"MCP 2026-07-28, versioning: server/discover",
		"Answer server/discover, or do not list the revision.")
	headersIgnored = define("headers_ignored", Warning,
		"a request whose headers contradict its body is processed",
		"MCP 2026-07-28 Streamable HTTP, server validation",
		"Answer 400 with error -32020. A proxy may have decided by the headers.")
	legacyEndpoint = define("legacy_endpoint", Failure,
		"the HTTP+SSE transport names an endpoint elsewhere",
		"MCP 2024-11-05, HTTP with SSE",
		"Name an endpoint of the same origin. Behind a proxy that changes the path, name it as clients see it.")
)

// Of pages in browsers.
var (
	noCORS = define("no_cors", Note,
		"pages in browsers cannot use the server",
		"Fetch standard, CORS protocol; not required by MCP",
		"If they should, such as MCP Inspector without its proxy: answer OPTIONS without authentication, and send Access-Control-Allow-Origin for the origins that may.")
	preflightRefused = define("cors_preflight", Warning,
		"a browser may not ask: the preflight request is refused",
		"Fetch standard, CORS protocol",
		"Answer OPTIONS without authentication, with Access-Control-Allow-Origin, -Methods and -Headers for what clients send: Authorization, Content-Type, MCP-Protocol-Version, Mcp-Session-Id.")
	answerHidden = define("cors_answer", Warning,
		"a page in a browser may not read the answer",
		"Fetch standard, CORS protocol",
		"Send Access-Control-Allow-Origin with this answer, too, and with errors.")
	headerHidden = define("cors_expose", Warning,
		"a page in a browser may not read a header that it needs",
		"Fetch standard, CORS protocol",
		"Send Access-Control-Expose-Headers: WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version.")
)

// Of what only the Caddys know that serve the site.
var instancesDiffer = define("instances_differ", Warning,
	"the Caddys that serve this site differ",
	"docs/several-instances.md",
	"Make them alike; caddy mcp-oauth instances shows them.")
