package integration_test

import (
	"context"
	"regexp"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// connectLink finds the link in words for a model.
var connectLink = regexp.MustCompile(`http://127\.0\.0\.1:\d+/oauth/connect/[\w-]+`)

// opensURLs are a client's options that make it declare URL elicitation. It
// shows the links to open.
func opensURLs(open func(link string)) *mcp.ClientOptions {
	return &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{URL: &mcp.URLElicitationCapabilities{}}},
		ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			open(req.Params.URL)
			return &mcp.ElicitResult{Action: "accept"}, nil
		},
	}
}
