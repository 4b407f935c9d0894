// Package caddymodule makes Caddy an OAuth-protected gateway for MCP servers.
// It is the only package that imports Caddy.
//
// It owns: configuration in JSON and Caddyfile form, the lifecycle of what
// must survive a reload, the path table of a site, the proxy with what goes to
// and comes from an upstream MCP server, how a client is told that a person has
// to connect it, and the admin API. It decides nothing about OAuth: package
// authz does towards clients, package authz/accounts towards providers, and
// package consent shows the pages.
//
//	Caddyfile ─▶ Handler (JSON) ─▶ config.Site ─▶ site: path ─▶ endpoint | gate ─▶ proxy | next
//	                 App (JSON) ─▶ processState: store, caches, streams; one per database
//
// A configuration comes and goes with each reload; a processState stays as
// long as any configuration uses its database. Nothing of a configuration is
// kept in it except the streams it opened.
package caddymodule
