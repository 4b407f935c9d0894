package inquiry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
)

// observed is a server, and what it was asked.
type observed struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // method, revision and JSON-RPC method of each request
}

func observe(t *testing.T, h http.Handler) *observed {
	t.Helper()
	o := &observed{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var m struct{ Method string }
		_ = json.Unmarshal(body, &m) // a DELETE has none
		o.mu.Lock()
		o.seen = append(o.seen, strings.TrimSpace(r.Method+" "+r.Header.Get(mcp.HeaderProtocolVersion)+" "+m.Method))
		o.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *observed) requests() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.seen)
}

// ask asks a server for its tools, and ends the session.
func ask(t *testing.T, url string) ([]Tool, error) {
	t.Helper()
	q := New(http.DefaultTransport, url)
	tools, err := q.Tools(t.Context())
	q.End(t.Context())
	return tools, err
}

func names(tools []Tool) (all []string) {
	for _, t := range tools {
		all = append(all, t.Name)
	}
	slices.Sort(all)
	return all
}

// The official Go SDK, as servers that keep sessions and that do not, and which answer
// with event streams and with JSON.
func TestGoSDKServers(t *testing.T) {
	s := sdk.NewServer(&sdk.Implementation{Name: "test", Version: "1"}, &sdk.ServerOptions{PageSize: 2})
	for i := range 5 {
		sdk.AddTool(s, &sdk.Tool{Name: fmt.Sprintf("tool-%d", i), Annotations: &sdk.ToolAnnotations{ReadOnlyHint: i == 0, Title: "A title"}},
			func(context.Context, *sdk.CallToolRequest, struct{}) (*sdk.CallToolResult, any, error) {
				return nil, nil, errors.New("a list is all that was asked for")
			})
	}
	for name, options := range map[string]*sdk.StreamableHTTPOptions{
		"sessions": {}, "sessions, JSON": {JSONResponse: true}, "stateless": {Stateless: true}, "stateless, JSON": {Stateless: true, JSONResponse: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return s }, options))
			tools, err := ask(t, o.URL)
			want := []string{"tool-0", "tool-1", "tool-2", "tool-3", "tool-4"}
			if err != nil || !slices.Equal(names(tools), want) {
				t.Fatalf("tools %q, %v, want %q\n%q", names(tools), err, want, o.requests())
			}
			for _, tool := range tools {
				if reads := tool.Annotations&access.ReadOnly != 0; reads != (tool.Name == "tool-0") || !strings.Contains(string(tool.Definition), "A title") {
					t.Errorf("%s: %v, %s", tool.Name, tool.Annotations, tool.Definition)
				}
			}
			t.Logf("%q", o.requests())
		})
	}
}

// result answers what has an id with a result.
func result(w http.ResponseWriter, r *http.Request, contentType, format string) {
	var m struct{ ID json.RawMessage }
	if json.NewDecoder(r.Body).Decode(&m) != nil || m.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = io.WriteString(w, strings.ReplaceAll(format, "ID", string(m.ID)))
}

// A server that knows nothing of the newest revision is asked as of the one before, in a
// session that is ended.
func TestOlderServers(t *testing.T) {
	for name, refuse := range map[string]func(http.ResponseWriter){
		"400": func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadRequest) },
		"404": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		"500": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"error in JSON": func(w http.ResponseWriter) {
			reply(w, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}`)
		},
		"error in an event": func(w http.ResponseWriter) {
			reply(w, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"id\":\"caddy-mcp-oauth-1\",\"error\":{\"code\":-32600,\"message\":\"no\"}}\n\n")
		},
		"something else": func(w http.ResponseWriter) {
			reply(w, "application/json", `{"jsonrpc":"2.0","id":"caddy-mcp-oauth-1","result":{"resultType":"input_required"}}`)
		},
		"a web page": func(w http.ResponseWriter) { reply(w, "text/html", "<h1>Hello</h1>") },
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				switch opened := r.Header.Get(mcp.HeaderSessionID) == "s-1"; {
				case strings.Contains(string(body), `"initialize"`):
					w.Header().Set(mcp.HeaderSessionID, "s-1")
					result(w, r, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}`)
				case !opened:
					refuse(w)
				case r.Method == http.MethodPost:
					result(w, r, "text/event-stream; charset=utf-8", ": hello\n\nid: 1\ndata:\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n"+
						"data: {\"jsonrpc\":\"2.0\",\"id\":\"other\",\"result\":{\"tools\":[{\"name\":\"other\"}]}}\r\n\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":ID,\ndata: \"result\":{\"tools\":[{\"name\":\"old\"}]}}\n\n")
				}
			}))
			tools, err := ask(t, o.URL)
			if err != nil || !slices.Equal(names(tools), []string{"old"}) {
				t.Fatalf("tools %q, %v, want old", names(tools), err)
			}
			want := []string{"POST 2026-07-28 tools/list", "POST  initialize", "POST 2025-06-18 notifications/initialized", "POST 2025-06-18 tools/list", "DELETE 2025-06-18"}
			if got := o.requests(); !slices.Equal(got, want) {
				t.Errorf("requests\n%q, want\n%q", got, want)
			}
		})
	}
}

func reply(w http.ResponseWriter, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	_, _ = io.WriteString(w, body)
}

// Whatever a server does, what is read of it is bounded, and it is sent nowhere.
func TestHostileServers(t *testing.T) {
	elsewhere := observe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		result(w, r, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"tools":[{"name":"x"}]}}`)
	}))
	endless := func(w http.ResponseWriter, piece string) {
		for {
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
		}
	}
	page := 0
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		want  error
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, ErrNoList},
		"denied":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, ErrDenied},
		"forbidden": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, ErrDenied},
		"web page":  {func(w http.ResponseWriter, _ *http.Request) { reply(w, "text/html", "<script>alert(1)</script>") }, ErrNoList},
		"garbage":   {func(w http.ResponseWriter, _ *http.Request) { reply(w, "application/json", "\x00\xff{]") }, ErrNoList},
		"no type":   {func(w http.ResponseWriter, r *http.Request) { result(w, r, "", `{"id":ID,"result":{"tools":[]}}`) }, ErrNoList},
		"compressed": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			result(w, r, "application/json", `{"id":ID,"result":{"tools":[]}}`)
		}, ErrNoList},
		"endless JSON": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			endless(w, strings.Repeat(" ", 64<<10))
		}, ErrTooMuch},
		"endless line of events": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			endless(w, strings.Repeat("x", 64<<10))
		}, ErrTooMuch},
		"endless events": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			endless(w, strings.Repeat(": keep alive\n\n", 4<<10))
		}, ErrTooMuch},
		"endless pages": {func(w http.ResponseWriter, r *http.Request) {
			page++
			result(w, r, "application/json", fmt.Sprintf(`{"jsonrpc":"2.0","id":ID,"result":{"tools":[{"name":"t%d"}],"nextCursor":"%d"}}`, page, page))
		}, ErrTooMuch},
		"the same page for ever": {func(w http.ResponseWriter, r *http.Request) {
			result(w, r, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"tools":[{"name":"t"}],"nextCursor":"x"}}`)
		}, nil},
		"many tools": {func(w http.ResponseWriter, r *http.Request) {
			result(w, r, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"tools":[`+strings.Repeat(`{"name":"t"},`, maxTools)+`{"name":"t"}]}}`)
		}, ErrTooMuch},
		"a session id that is none": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(mcp.HeaderSessionID, "a b")
			if r.Header.Get(mcp.HeaderSessionID) != "" {
				t.Errorf("it is sent the id %q", r.Header.Get(mcp.HeaderSessionID))
			}
			result(w, r, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"protocolVersion":"x\r\ny"}}`)
		}, ErrNoList},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, tt.serve)
			tools, err := ask(t, o.URL)
			if !errors.Is(err, tt.want) || err == nil && len(tools) != 2 {
				t.Errorf("%d tools, %v, want %v", len(tools), err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "script") {
				t.Errorf("the error repeats what the server said: %v", err)
			}
		})
	}
	if got := elsewhere.requests(); len(got) != 0 {
		t.Errorf("followed a redirect: %q", got)
	}
}

// Whoever does not want to wait any longer does not.
func TestCancelled(t *testing.T) {
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	o := observe(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		cancel()
		<-release
	}))
	defer close(release)
	if _, err := New(http.DefaultTransport, o.URL).Tools(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	if got := o.requests(); len(got) != 1 {
		t.Errorf("requests %q, want one", got)
	}
}

// A server that refuses a revision which it says it has is asked once more, and then as
// of the one before.
func TestRefusedRevision(t *testing.T) {
	for name, tt := range map[string]struct {
		refusals int
		has      string
		want     []string
	}{
		"once":   {1, mcp.Stateless, []string{"POST 2026-07-28 tools/list", "POST 2026-07-28 tools/list"}},
		"always": {9, mcp.Stateless, []string{"POST 2026-07-28 tools/list", "POST 2026-07-28 tools/list", "POST  initialize"}},
		"other":  {9, mcp.November2025, []string{"POST 2026-07-28 tools/list", "POST  initialize"}},
	} {
		t.Run(name, func(t *testing.T) {
			refused := 0
			o := observe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if refused++; refused <= tt.refusals {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(http.StatusBadRequest)
					_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"no","data":{"supported":[%q]}}}`, tt.has)
					return
				}
				result(w, r, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"tools":[{"name":"new"}]}}`)
			}))
			tools, err := ask(t, o.URL)
			if got := o.requests(); !slices.Equal(got, tt.want) {
				t.Errorf("requests\n%q, want\n%q", got, tt.want)
			}
			if answered := refused > tt.refusals; answered != (err == nil && len(tools) == 1) {
				t.Errorf("tools %q, %v", names(tools), err)
			}
		})
	}
}
