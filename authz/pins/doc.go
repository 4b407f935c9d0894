// Package pins remembers how MCP servers define their tools, and which definitions were
// approved: a tool that changes after it was trusted, or appears then, can be held back
// until somebody has seen the difference.
//
//	lists that pass ─▶ Judge ─▶ Tools: approved, or pending ─▶ Look: what a call is judged by
//	                            Tools ─▶ List: what changed, for who approves ─▶ Approve
//	                            Tools ◀─ Sync ─▶ the store: for restarts and all instances
//
// Of a tool, any number of definitions can be approved, as servers define some by the
// account that asks. What is approved is a decision: it stays until it is pushed out by
// many newer ones of the tool. What is pending is only what was seen lately.
//
// It knows nothing of HTTP and of access rules, and logs nothing: what is to be told,
// it returns.
package pins
