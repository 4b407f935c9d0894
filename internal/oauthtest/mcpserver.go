package oauthtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Paths of an MCPServer.
const (
	MCPPath              = "/mcp"
	ResourceMetadataPath = "/.well-known/oauth-protected-resource" + MCPPath
)

// MCPServer is an MCP server that takes the access tokens of its provider, and
// answers each call with whose token it carried.
//
// Fields are set before the first request, or in Change.
type MCPServer struct {
	*Host
	provider *Provider
	// Need is the scope that calls need, if any; Unnamed keeps it to itself.
	Need    string
	Unnamed bool
	// Reject answers calls with this in their body as if their token were bad.
	Reject string
	// Answer answers calls with a good token, if set.
	Answer http.HandlerFunc
	// Watch sees each request first, with its token.
	Watch func(r *http.Request, token string)

	mu       sync.Mutex
	accounts []string
}

// NewMCPServer starts an MCP server that wants tokens of the provider. It is
// closed when the test ends.
func NewMCPServer(t testing.TB, provider *Provider) *MCPServer {
	s := &MCPServer{Host: NewHost(t), provider: provider}
	s.Page(ResourceMetadataPath, Document(With(s.Metadata(), "scopes_supported", []string{"read"})))
	s.Page(MCPPath, s.serve)
	return s
}

// Metadata returns the server's metadata document (RFC 9728), without scopes.
func (s *MCPServer) Metadata() Object {
	return Object{"resource": s.URL + MCPPath, "authorization_servers": []string{s.provider.URL}}
}

// Challenge returns what the server says to those without a token.
func (s *MCPServer) Challenge() string {
	return `Bearer resource_metadata="` + s.URL + ResourceMetadataPath + `"`
}

// Change changes fields while requests are on their way.
func (s *MCPServer) Change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// Accounts returns whose tokens the calls carried so far, empty for those that
// were refused.
func (s *MCPServer) Accounts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.accounts)
}

// ForgetAccounts forgets them.
func (s *MCPServer) ForgetAccounts() { s.Change(func() { s.accounts = nil }) }

func (s *MCPServer) serve(w http.ResponseWriter, r *http.Request) {
	body := ReadBody(r)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	watch := s.Watch
	s.mu.Unlock()
	if watch != nil {
		watch(r, token)
	}
	account, scope := s.provider.Accepts(token)
	s.mu.Lock()
	s.accounts = append(s.accounts, account)
	lacks := s.Need != "" && !slices.Contains(strings.Fields(scope), s.Need)
	rejected := s.Reject != "" && strings.Contains(body, s.Reject)
	insufficient, answer := s.Challenge()+`, error="insufficient_scope"`, s.Answer
	if !s.Unnamed {
		insufficient += `, scope="` + s.Need + `"`
	}
	s.mu.Unlock()
	w.Header().Set("Set-Cookie", "a="+Canary)
	switch {
	case account == "" || rejected:
		w.Header().Set("WWW-Authenticate", s.Challenge()+`, error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, Canary+token)
	case lacks:
		w.Header().Set("WWW-Authenticate", insufficient)
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, Canary+token)
	case answer != nil:
		answer(w, r)
	default:
		answerCall(w, r, account, body)
	}
}

// answerCall tells whose token a call carried, and what else.
func answerCall(w http.ResponseWriter, r *http.Request, account, body string) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	_ = json.Unmarshal([]byte(body), &m)
	if m.Method == "initialize" {
		w.Header().Set("Mcp-Session-Id", "session-of-"+account)
	}
	Document(Object{"jsonrpc": "2.0", "id": m.ID, "result": Object{
		"account": account, "session": r.Header.Get("Mcp-Session-Id"), "body": body, "key": r.Header.Get("X-Key"),
	}})(w, r)
}

// ReadBody returns the body of a request, and leaves it to be read again by
// another page.
func ReadBody(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return string(body)
}

// StatelessServer is the page of an MCP server without sessions: it answers
// server/discover only.
func StatelessServer(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(ReadBody(r), `"server/discover"`) || r.Header.Get("Mcp-Method") != "server/discover" || r.Header.Get("Mcp-Protocol-Version") != "2026-07-28" {
		Answer(http.StatusBadRequest, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32020}}`)(w, r)
		return
	}
	Answer(http.StatusOK, "application/json", `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"}}`)(w, r)
}

// SessionServer is the page of an MCP server with sessions: it answers
// initialize only, as an event stream.
func SessionServer(w http.ResponseWriter, r *http.Request) {
	switch body := ReadBody(r); {
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case strings.Contains(body, `"initialize"`):
		w.Header().Set("Mcp-Session-Id", "s1")
		Answer(http.StatusOK, "text/event-stream", ": hello\nid: 1\ndata:\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"result\":{}}\n\n")(w, r)
	default:
		Answer(http.StatusBadRequest, "text/plain", "no session")(w, r)
	}
}
