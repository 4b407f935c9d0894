// Package catalog remembers what MCP servers said that they offer: what it is called,
// and what they say of it.
//
//	lists that pass ─▶ Note ─▶ Server ─▶ Look: what a call is judged by
//	                           Server ─▶ All: what operators and people are shown
//
// What a server said last counts. A process knows what it has seen since it started;
// what it does not know, the gateway asks the server for. It asks nobody itself, and
// decides nothing.
package catalog
