package harness

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Everything starts the official Go SDK's conformance server and returns its
// MCP URL. It is stateless unless stateful is set.
func Everything(t testing.TB, stateful bool) string {
	t.Helper()
	addr := programs.FreeAddr(t)
	args := []string{"-http", addr}
	if stateful {
		args = append(args, "-stateless=false")
	}
	binary := programs.Build(t, "everything-server", "github.com/modelcontextprotocol/go-sdk/conformance/everything-server")
	programs.Start(t, exec.Command(binary, args...)).Expect(t, "listening at")
	waitForListener(t, addr)
	return "http://" + addr + "/mcp"
}

// waitForListener returns once addr accepts: the server says that it listens
// just before it does.
func waitForListener(t testing.TB, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), oauthtest.Patience)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("nobody listens at %s: %v", addr, err)
		}
	}
}

// Recorder is an MCP server with one tool, greet, that remembers what it
// received.
type Recorder struct {
	// URL is its MCP endpoint.
	URL string

	mu       sync.Mutex
	received []*http.Request
}

// Record starts a Recorder.
func Record(t testing.TB) *Recorder {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: "recorder", Version: "1"}, nil)
	type greeting struct {
		Name string `json:"name"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "greet", Description: "Greets."},
		func(_ context.Context, _ *mcp.CallToolRequest, in greeting) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "Hello, " + in.Name + "!"}}}, nil, nil
		})
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)

	rec := &Recorder{}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != "caddy-mcp-oauth" {
			rec.mu.Lock()
			rec.received = append(rec.received, r.Clone(context.Background()))
			rec.mu.Unlock()
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	// Streams of clients that are still connected would keep Close waiting.
	t.Cleanup(upstream.CloseClientConnections)
	rec.URL = upstream.URL + "/mcp"
	return rec
}

// Received returns the requests so far, without their bodies, and without those with
// which the gateway asks for the tools that it shows people.
func (rec *Recorder) Received() []*http.Request {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return append([]*http.Request(nil), rec.received...)
}

// Notebook is an MCP server with a tool that reads, one that changes things and one that
// destroys them. Each answers what it did.
type Notebook struct {
	// URL is its MCP endpoint; AddURL, when it is asked for, adds the tool in its query.
	URL, AddURL string
}

// ServeNotebook starts a Notebook, for all revisions.
func ServeNotebook(t testing.TB) *Notebook {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: "notebook", Version: "1"}, nil)
	add := func(name string, said *mcp.ToolAnnotations) {
		mcp.AddTool(server, &mcp.Tool{Name: name, Annotations: said}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "did " + name}}}, nil, nil
		})
	}
	harmless := false
	add("read_page", &mcp.ToolAnnotations{ReadOnlyHint: true})
	add("create_page", &mcp.ToolAnnotations{DestructiveHint: &harmless})
	add("delete_page", nil)
	mux := http.NewServeMux()
	mux.Handle("/mcp", bothEras(server))
	mux.HandleFunc("/add", func(_ http.ResponseWriter, r *http.Request) { add(r.URL.Query().Get("tool"), nil) })
	upstream := httptest.NewServer(mux)
	t.Cleanup(upstream.Close)
	t.Cleanup(upstream.CloseClientConnections)
	return &Notebook{upstream.URL + "/mcp", upstream.URL + "/add"}
}
