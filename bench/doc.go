// Command bench measures what the plugin costs: a call through the gate
// against Caddy's own reverse_proxy doing the same injection with header_up,
// and the authorization server against the disk it must write to.
//
//	go run ./bench                  most of it, about an hour
//	go run ./bench -quick           the same with short samples, a few minutes
//	go run ./bench -only longlife   with a million grants and ten million expired records, an hour
//	go run ./bench -only mixed      everything at once for half an hour on each store, see measureMixed
//	go run ./bench -only peers -peers caddy-security=/path/to/authcrunch,oauth2-proxy=/path/to/oauth2-proxy
//	                                others that let callers through, beside plain Caddy as the gate is, see package peers
//
// It builds ./cmd/caddy and measures that binary from outside: CPU time from
// the kernel's clock of the process, allocations from Caddy's /debug/vars.
// Both sites, plain and gated, are in every process, so that a comparison
// never compares two heaps; only those with peers compare processes as they are. One process is the MCP server, one or two are the
// gateway; this one is every client.
//
//	bench (clients, clock) ──▶ caddy  :plain  reverse_proxy + header_up ──▶ bench upstream
//	                       ──▶        :gate   mcp_oauth ────────────────▶
//
// With PostgreSQL, it starts Debian's on a socket of its own, as it comes: fsync is
// on, and each commit waits for the disk. -dir, and TMPDIR for PostgreSQL, say whose.
//
// Ratios are worth more than rates: a shared machine moves by tens of percent
// from one second to the next. CPU ratios are therefore medians over pairs of
// processes loaded at the same moment on the same core, and an A/A control,
// two processes doing the same work, tells how far to trust them.
package main
