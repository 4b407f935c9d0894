// Package audit is the audit log: who signed in, what operators did, and who called
// which tool of which server, with which client, on whose account and with what
// outcome.
//
// It is a log of Caddy's, with the name mcp_oauth_audit: where it goes, for how long
// it is kept and how it is written is configured there. ChainWriter is an output of
// Caddy's that chains the lines of any log by hashes, see internal/hashchain.
//
//	event.Event ─▶ Log.Record ──────────────┐
//	gateway, each call ─▶ Log.Started ──────┼─▶ Caddy's log ─▶ file, ChainWriter, …
//	                   └▶ Log.Finished ─────┘
//
// It decides nothing, but for one thing: that a call may not go on whose line
// cannot be written, where the operator wants that.
package audit
