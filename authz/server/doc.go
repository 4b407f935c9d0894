// Package server is the OAuth 2.1 authorization server of one site: its
// endpoints, and the wiring of the packages beside it. It knows HTTP, not Caddy.
//
// It owns: authorization, token, registration (RFC 7591, RFC 7592), revocation
// (RFC 7009), introspection (RFC 7662) and metadata (RFC 8414, RFC 9728)
// endpoints, and the links on which people connect a server.
//
//	GET /authorize ─▶ parse, client, redirect URI ─▶ flows.Begin ─▶ consent pages
//	POST /token    ─▶ client authentication ─▶ an entry of the table of grant types ─▶ tokens
//	call           ─▶ gate.Gate
//
// It never renders a page (package consent does), never proxies (package
// caddymodule/gateway does), knows nothing of what people connect except that it
// is to be given to them when their flow ends (package authz/accounts does the
// rest), and never holds a secret longer than a request.
package server
