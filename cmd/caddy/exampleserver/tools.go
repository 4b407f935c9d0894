package exampleserver

import (
	"context"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// userHeader is the identity_header of Caddyfile.example.
const userHeader = "X-Mcp-User"

// newServer returns the MCP server with its tools.
func newServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "example", Version: "1.0.0"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "whoami", Description: "Tells who you are to this server."}, whoami)
	mcp.AddTool(s, &mcp.Tool{Name: "add", Description: "Adds two numbers."}, add)
	mcp.AddTool(s, &mcp.Tool{Name: "count", Description: "Counts to a number, telling of its progress."}, count)
	return s
}

type nothing struct{}

func whoami(_ context.Context, r *mcp.CallToolRequest, _ nothing) (*mcp.CallToolResult, any, error) {
	if r.Extra == nil || r.Extra.Header.Get(userHeader) == "" {
		return text("The gateway told me no name."), nil, nil
	}
	return text("You are " + r.Extra.Header.Get(userHeader) + "."), nil, nil
}

type addends struct {
	A float64 `json:"a" jsonschema:"the first number"`
	B float64 `json:"b" jsonschema:"the second number"`
}

func add(_ context.Context, _ *mcp.CallToolRequest, in addends) (*mcp.CallToolResult, any, error) {
	return text(fmt.Sprint(in.A + in.B)), nil, nil
}

type target struct {
	To int `json:"to" jsonschema:"where to stop, at most 10"`
}

func count(ctx context.Context, r *mcp.CallToolRequest, in target) (*mcp.CallToolResult, any, error) {
	in.To = min(in.To, 10)
	for i := 1; i <= in.To; i++ {
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
		if token := r.Params.GetProgressToken(); token != nil {
			_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(i), Total: float64(in.To)})
		}
	}
	return text(fmt.Sprintf("Counted to %d.", in.To)), nil, nil
}

func text(s string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}
}
