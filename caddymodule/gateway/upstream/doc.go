// Package upstream knows how the MCP servers behind the site are reached with
// Caddy's reverse_proxy: what of its options an operator may set and what becomes of
// them, and which connections are open.
//
// It sees no call, and decides nothing about one.
package upstream
