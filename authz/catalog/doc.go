// Package catalog remembers what MCP servers said that they offer: what it is called,
// and what they say of it.
//
//	lists that pass ─▶ Note ─▶ Server ─▶ Look: what a call is judged by
//	                 NoteFor ─▶ Server ─▶ LookFor: the same, where a server may list others to each account
//	                           Server ─▶ All: what operators and people are shown
//	                           Server ◀─ Sync ─▶ the store: what other instances saw, and earlier ones
//	lists that a page asked for ─▶ Hear ─▶ Heard: what that very person is shown
//
// What a server said last counts. What is not known, the gateway asks the server for.
// It asks nobody itself, and decides nothing.
package catalog
