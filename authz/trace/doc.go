// Package trace keeps what happened on the last ways from a client to an MCP
// server, step by step: being told to sign in, reading metadata, registering,
// asking a person, connecting accounts, getting tokens, calling.
//
//	event.Recorder ─▶ Recorder.Record ─▶ the Trace that the event belongs to ─▶ Find
//	                                     └─ one that failed ─▶ Archive ─▶ storage
//
// A client is a stranger until somebody signs in, so its first steps are joined by
// what they have in common, and each step says how sure that is (Join). What is
// kept is bounded in number and bytes, has no secret, and decides nothing.
package trace
