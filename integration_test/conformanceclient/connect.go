package main

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// person connects the server whenever they are asked to: when signing in, and
// wherever a client shows them a link.
type person struct {
	testing.TB
	gateway *harness.Gateway
	browser *harness.Browser
}

// connectAndCall lists the tools of the server and calls one, as a person with
// an MCP client.
func connectAndCall(t testing.TB, server string) {
	g := harness.Run(t, harness.Config{
		Directives: "identity user_id\ninsecure_allow_loopback\n" + oauthServer(t, server),
	})
	p := &person{t, g, harness.NewBrowser(t)}
	session := p.openSession()
	if err := p.insist(func() (*mcp.CallToolResult, error) {
		_, err := session.ListTools(t.Context(), nil)
		return nil, err
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.insist(func() (*mcp.CallToolResult, error) {
		return session.CallTool(t.Context(), &mcp.CallToolParams{Name: "test-tool", Arguments: map[string]any{}})
	}); err != nil {
		t.Fatal(err)
	}
}

// openSession opens an MCP session with a client that signs in and opens links.
func (p *person) openSession() *mcp.ClientSession {
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{
			Metadata: &oauthex.ClientRegistrationMetadata{RedirectURIs: []string{"http://127.0.0.1:9/callback"}},
		},
		AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			answer := p.signIn(args.URL).Leaving.Query()
			return &auth.AuthorizationResult{Code: answer.Get("code"), State: answer.Get("state"), Iss: answer.Get("iss")}, nil
		},
	})
	if err != nil {
		p.Fatal(err)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "conformance-client", Version: "1"}, &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{URL: &mcp.URLElicitationCapabilities{}}},
		ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			p.open(req.Params.URL)
			return &mcp.ElicitResult{Action: "accept"}, nil
		},
	})
	session, err := client.Connect(p.Context(), &mcp.StreamableClientTransport{
		Endpoint: p.gateway.URL + "/mcp", OAuthHandler: handler,
	}, nil)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = session.Close() })
	return session
}

// signIn signs in and connects the server on the way.
func (p *person) signIn(link string) *oauthtest.Page {
	services := p.browser.Identify(p, p.browser.Open(p, link), harness.Person{UserID: "judge"})
	services = p.browser.Connect(p, services, "judge")
	answer := p.browser.Press(p, services, harness.ApproveButton, nil)
	if answer.Leaving == nil {
		p.Fatalf("not connected: %s", answer.Text())
	}
	return answer
}

// open follows a link of the gateway and connects the server there, unless the
// page says that nothing is missing.
func (p *person) open(link string) {
	const done = "is connected"
	page := p.browser.Open(p, link)
	if !strings.Contains(page.Text(), done) {
		page = p.browser.Connect(p, page, "judge")
	}
	page.MustShow(p, done)
}

// maxLinks ends what the gateway should have ended.
const maxLinks = 10

// insist calls until the answer has no link to open any more. The client itself
// opens those of the revision 2026-07-28.
func (p *person) insist(call func() (*mcp.CallToolResult, error)) error {
	for range maxLinks {
		result, err := call()
		link := linkIn(result, err)
		if link == "" {
			return err
		}
		p.open(link)
	}
	return errors.New("there is always another link")
}

var connectLink = regexp.MustCompile(`http://127\.0\.0\.1:\d+/oauth/connect/[\w-]+`)

// linkIn returns the link in a URL elicitation error (revision 2025-11-25), or
// in the words of another error or of a tool result.
func linkIn(result *mcp.CallToolResult, err error) string {
	var e *jsonrpc.Error
	switch {
	case errors.As(err, &e) && e.Code == mcp.CodeURLElicitationRequired:
		return connectLink.FindString(string(e.Data))
	case err != nil:
		return connectLink.FindString(err.Error())
	case result == nil || !result.IsError:
		return ""
	}
	text, _ := json.Marshal(result.Content)
	return connectLink.FindString(string(text))
}
