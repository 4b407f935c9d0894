package integration_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// connect opens an MCP session that ends with the test.
func connect(t *testing.T, transport *mcp.StreamableClientTransport, options *mcp.ClientOptions, revision string) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "integration-test", Version: "1"}, options)
	session, err := client.Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// callWhoAmI asks a harness.Accounts whose token the call came with.
func callWhoAmI(t *testing.T, session *mcp.ClientSession) (harness.WhoAmI, *mcp.CallToolResult, error) {
	t.Helper()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "whoami"})
	var who harness.WhoAmI
	if err == nil && !result.IsError {
		text, _ := json.Marshal(result.StructuredContent)
		if err := json.Unmarshal(text, &who); err != nil {
			t.Fatal(err)
		}
	}
	return who, result, err
}

// mustBe fails the test unless calls arrive with a token of that account.
func mustBe(t *testing.T, session *mcp.ClientSession, account string) {
	t.Helper()
	who, result, err := callWhoAmI(t, session)
	if err != nil || result.IsError || who.Account != account {
		t.Fatalf("the call came as %q, want %q: %v, %+v", who.Account, account, err, result)
	}
}

// bearer sends a fixed token.
type bearer struct {
	token string
	http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}

// with is a transport to an endpoint with a fixed token.
func with(token, endpoint string) *mcp.StreamableClientTransport {
	return withOver(http.DefaultTransport, token, endpoint)
}

// withOver is with over another HTTP transport.
func withOver(over http.RoundTripper, token, endpoint string) *mcp.StreamableClientTransport {
	return &mcp.StreamableClientTransport{Endpoint: endpoint, HTTPClient: &http.Client{Transport: bearer{token, over}}}
}
