// Package cli is the command line: `caddy mcp-oauth …`.
//
// A command speaks to the admin API of the Caddy that runs, as Caddy's own commands
// do; only what must work without one does so. Each has a file of its own, and a
// line in the list of commands. It prints a table for people or, with --json, what
// the admin API answered; whatever else there is to say goes to the standard error.
//
// A command decides nothing: what may be done, and what a filter means, is known in
// package adminapi alone.
package cli
