package mcp_test

import (
	"fmt"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
)

// The id of a session is of no use to another grant.
func ExampleSessions() {
	sessions := mcp.NewSessions([32]byte{1})
	id := sessions.Wrap("grant of alice", "notion", "upstream-session")

	session, ok := sessions.Unwrap("grant of alice", "notion", id)
	fmt.Println(session.ID, ok)
	_, ok = sessions.Unwrap("grant of bob", "notion", id)
	fmt.Println(ok)
	// Output:
	// upstream-session true
	// false
}

func ExampleParseRequest() {
	r, err := mcp.ParseRequest([]byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Method, r.IsToolCall(), string(r.ID))
	_, err = mcp.ParseRequest([]byte(`{"jsonrpc":"2.0","id":7,"method":"tools/list","Method":"tools/call"}`))
	fmt.Println(err)
	// Output:
	// tools/call true 7
	// mcp: not one JSON-RPC request
}
