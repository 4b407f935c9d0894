// Package harness lets whole-system tests use the gateway the way people and
// clients do: it runs it with a Caddyfile on loopback ports, walks its pages with a
// scripted browser, and has what people and clients meet around it: providers, MCP
// servers, dashboards.
//
//	test ──▶ Gateway (./cmd/caddy run) ──▶ MCP server (Everything, Recorder)
//	  │           ▲
//	  ├─ Browser ─┤   pages, as a person: forms, cookies, redirects
//	  └─ Program ─┘   a real MCP client; its sign-in link goes to the Browser
//
// It binds 127.0.0.1 only. Programs are built and run by package programs.
package harness
