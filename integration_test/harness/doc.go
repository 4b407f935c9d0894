// Package harness lets whole-system tests use the gateway the way people and
// programs do: it builds the real binary once, runs it with a Caddyfile on
// loopback ports, walks its pages with a scripted browser, and watches what
// other programs print.
//
//	test ──▶ Gateway (./cmd/caddy run) ──▶ MCP server (Everything, Recorder)
//	  │           ▲
//	  ├─ Browser ─┤   pages, as a person: forms, cookies, redirects
//	  └─ Program ─┘   a real MCP client; its sign-in link goes to the Browser
//
// It binds 127.0.0.1 only, and ends only processes it started.
package harness
