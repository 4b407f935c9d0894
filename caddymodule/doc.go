// Package caddymodule makes Caddy an OAuth-protected gateway for MCP servers.
// Caddy is imported here and in the packages below only.
//
// It owns: the modules of Caddy's with their Caddyfile form, the lifecycle of
// what must survive a reload, and the path table of a site. A call of an MCP
// server is for package gateway, what else is configured in the same Caddy for
// package neighbours, and what an operator sees and ends for package adminapi. It
// decides nothing about OAuth: package authz/server does towards clients, package
// authz/accounts towards providers, and package consent shows the pages.
//
//	Caddyfile ─▶ Handler (JSON) ─▶ config.Site ─▶ site: path ─▶ endpoint | gate ─▶ proxy | next
//	                 App (JSON) ─▶ processState: store, caches, streams; one per database
//
// A configuration comes and goes with each reload; a processState stays as
// long as any configuration uses its database. Nothing of a configuration is
// kept in it except the streams it opened.
package caddymodule
