// Package authz is the OAuth 2.1 authorization server and the gate in front of
// the MCP servers. It knows HTTP, not Caddy.
//
// It owns: metadata (RFC 8414, RFC 9728), clients (RFC 7591, RFC 7592, client
// ID metadata documents, pre-registered), authorization requests and their
// pending flows, codes, tokens, revocation (RFC 7009), introspection (RFC
// 7662), the browser sessions of the account page, the links on which people
// connect a server, and the decision whether a call may pass.
//
// It never renders a page (package consent does), never proxies (package
// caddymodule does), knows nothing of what people connect except that it is to
// be given to them when their flow ends (package authz/accounts does the rest),
// and never holds a secret longer than a request.
//
//	GET /authorize ─▶ parse, client, redirect URI ─▶ sealed flow + cookie ─▶ consent pages
//	consent        ─▶ OpenFlow ─▶ Identify ─▶ Approve | Deny ─▶ redirect to the client
//	POST /token    ─▶ client authentication ─▶ ClaimCode | RotateRefreshToken
//	call           ─▶ Gate.Check: bearer ─▶ SHA-256 ─▶ tokens.Cache ─▶ Caller | challenge
package authz
