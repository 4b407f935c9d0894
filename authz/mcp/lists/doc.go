// Package lists filters what an MCP server answers down to what its caller may use:
// the lists of tools, resources, resource templates and prompts, item by item, and the
// capabilities of which nothing is left.
//
//	answer ─▶ Filter (JSON) or Events (event streams) ─▶ Policy: keep it? ─▶ the same answer without the rest
//
// It goes by the shape of an answer, not by what was asked for: also a batch, and the
// stream that a client resumes, may hold any list. It passes answers on while they
// come, and keeps one item at a time. What stays is what the server wrote, in its order.
//
// It knows no rule and no HTTP, and judges no call.
package lists
