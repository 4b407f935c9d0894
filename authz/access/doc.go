// Package access decides who may use what of an MCP server: its tools, resources
// and prompts, by the access rules that an operator wrote for the server.
//
//	Rules of a server + Who + Item ─▶ Decide ─▶ Decision: allowed or not, and by which rule
//
// One rule decides a list and a call. What is in a list is judged with the arguments
// open: it is allowed if there are arguments with which it could be called.
//
// It knows nothing of HTTP and JSON-RPC, reads no store, keeps no state, and logs
// nothing. What an item is called, and what its server says of it, it is told.
package access
