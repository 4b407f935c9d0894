package harness

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

// Accounts is an MCP server on which every person has an account of their own:
// it wants an access token of its Provider, made out to it and to nobody else,
// and remembers what it was sent. Its tool whoami tells whose token a call
// carried, and which headers.
type Accounts struct {
	// URL is its MCP endpoint, and the resource that tokens are for.
	URL string

	provider *Provider
	path     string
	keys     keySet
	mu       sync.Mutex
	seen     []Seen
}

// Seen is one request to Accounts.
type Seen struct {
	Method string
	Header http.Header
	// Token is what the request carried, empty for nothing.
	Token string
	// Account is whose the token is, empty if it was refused.
	Account string
}

// WhoAmI is what the tool whoami tells.
type WhoAmI struct {
	Account string              `json:"account"`
	Headers map[string][]string `json:"headers"`
}

// ServeAccounts starts an MCP server. With a path below /opaque its tokens are
// opaque, and it asks the provider about each; else they are JWTs, which it
// checks by itself.
func ServeAccounts(t testing.TB, provider *Provider, path string) *Accounts {
	t.Helper()
	a := &Accounts{provider: provider, path: path}
	a.keys.url = provider.URL + "/jwks"
	server := mcp.NewServer(&mcp.Implementation{Name: "accounts", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "whoami", Description: "Tells whose account this is."},
		func(_ context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, WhoAmI, error) {
			return nil, WhoAmI{Account: req.Extra.TokenInfo.UserID, Headers: req.Extra.Header}, nil
		})

	metadata := "/.well-known/oauth-protected-resource" + path
	mux := http.NewServeMux()
	upstream := httptest.NewServer(mux)
	t.Cleanup(upstream.Close)
	t.Cleanup(upstream.CloseClientConnections)
	a.URL = upstream.URL + path
	mux.Handle(metadata, auth.ProtectedResourceMetadataHandler(&oauthex.ProtectedResourceMetadata{
		Resource:             a.URL,
		AuthorizationServers: []string{provider.URL},
		ScopesSupported:      []string{"read"},
	}))
	gate := auth.RequireBearerToken(a.verify, &auth.RequireBearerTokenOptions{
		ResourceMetadataURL: upstream.URL + metadata,
		Scopes:              []string{"read"},
	})
	mux.Handle(path, a.remember(gate(bothEras(server))))
	return a
}

// bothEras serves the revision 2026-07-28, and with sessions those before.
func bothEras(server *mcp.Server) http.Handler {
	get := func(*http.Request) *mcp.Server { return server }
	modern := mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{Stateless: true})
	legacy := mcp.NewStreamableHTTPHandler(get, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Protocol-Version") >= "2026-07-28" {
			modern.ServeHTTP(w, r)
			return
		}
		legacy.ServeHTTP(w, r)
	})
}

// remember keeps the requests without a token; verify keeps the others.
func (a *Accounts) remember(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			a.add(r, "", "")
		}
		next.ServeHTTP(w, r)
	})
}

func (a *Accounts) add(r *http.Request, token, account string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, Seen{Method: r.Method, Header: r.Header.Clone(), Token: token, Account: account})
}

// Seen returns the requests so far.
func (a *Accounts) Seen() []Seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.seen)
}

// claims are what a token says, or what the provider says about it.
type claims struct {
	Active   bool     `json:"active"`
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Scope    string   `json:"scope"`
	Expiry   int64    `json:"exp"`
}

func (a *Accounts) verify(_ context.Context, token string, r *http.Request) (*auth.TokenInfo, error) {
	c, err := a.check(token)
	a.add(r, token, c.Subject)
	if err != nil {
		return nil, errors.Join(auth.ErrInvalidToken, err)
	}
	return &auth.TokenInfo{
		UserID: c.Subject, Scopes: strings.Fields(c.Scope), Expiration: time.Unix(c.Expiry, 0),
	}, nil
}

// WhoseToken returns whose token this is, unless the server refuses it.
func (a *Accounts) WhoseToken(token string) (account string, err error) {
	c, err := a.check(token)
	return c.Subject, err
}

// check returns what is known of a good token.
func (a *Accounts) check(token string) (claims, error) {
	c, err := a.claims(token)
	switch {
	case err != nil:
	case !c.Active:
		err = errors.New("not active")
	case c.Issuer != a.provider.URL || !slices.Contains(c.Audience, a.URL) || c.Subject == "":
		err = errors.New("not for this server")
	case time.Now().Unix() >= c.Expiry:
		err = errors.New("expired")
	}
	if err != nil {
		return claims{}, err
	}
	return c, nil
}

func (a *Accounts) claims(token string) (claims, error) {
	if strings.HasPrefix(a.path, "/opaque") {
		c, err := a.provider.introspect(token)
		// The provider does not repeat who it is.
		c.Issuer = a.provider.URL
		return c, err
	}
	c, err := a.keys.open(token)
	c.Active = err == nil
	return c, err
}
