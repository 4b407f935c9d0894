package harness

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// KeyHeader is where a Keyed server wants the API key.
const KeyHeader = "X-Api-Key"

// Keyed is an MCP server on which every person has an account of their own, and
// an API key for it. Its tool whoami tells whose key a call carried. Without a
// good key it answers nothing but 401.
type Keyed struct {
	// URL is its MCP endpoint.
	URL string
	// CheckURL answers GET with 200 if the key is good.
	CheckURL string

	mu       sync.Mutex
	accounts map[string]string // by key
	seen     []Seen
}

// ServeKeyed starts an MCP server that knows these accounts, by key.
func ServeKeyed(t testing.TB, accounts map[string]string) *Keyed {
	t.Helper()
	k := &Keyed{accounts: accounts}
	server := mcp.NewServer(&mcp.Implementation{Name: "keyed", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "whoami", Description: "Tells whose account this is."},
		func(_ context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, WhoAmI, error) {
			return nil, WhoAmI{Account: k.accountOf(req.Extra.Header), Headers: req.Extra.Header}, nil
		})
	mux := http.NewServeMux()
	mux.Handle("/mcp", bothEras(server))
	mux.HandleFunc("/check", func(http.ResponseWriter, *http.Request) {})
	upstream := httptest.NewServer(k.gate(mux))
	t.Cleanup(upstream.Close)
	t.Cleanup(upstream.CloseClientConnections)
	k.URL, k.CheckURL = upstream.URL+"/mcp", upstream.URL+"/check"
	return k
}

// gate remembers each request and lets those with a good key pass.
func (k *Keyed) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		account := k.accountOf(r.Header)
		k.mu.Lock()
		k.seen = append(k.seen, Seen{Method: r.Method, Header: r.Header.Clone(), Token: r.Header.Get(KeyHeader), Account: account})
		k.mu.Unlock()
		if account == "" {
			http.Error(w, "unknown key", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (k *Keyed) accountOf(h http.Header) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.accounts[h.Get(KeyHeader)]
}

// Withdraw makes a key worthless.
func (k *Keyed) Withdraw(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.accounts, key)
}

// Seen returns the requests so far. Token is the key that came with each.
func (k *Keyed) Seen() []Seen {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.seen)
}
