// Package inquiry asks an MCP server which tools it has.
//
//	Tools ─▶ tools/list, as of MCP 2026-07-28 ─▶ its pages
//	    else initialize, initialized, tools/list, as of 2025-11-25 ─▶ its pages
//	End   ─▶ DELETE of the session, if there is one
//
// It promises the server nothing: it declares no capability, and answers no request of
// the server's. What a server says is bounded, in bytes, pages and tools, and an error
// repeats nothing of it. It follows no redirect, and knows no credential: whoever
// carries its requests adds that.
package inquiry
