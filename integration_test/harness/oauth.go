package harness

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Client is an OAuth client with no cleverness: one method per request, so
// that a test says what it sends.
type Client struct {
	ID          string
	RedirectURI string
	Verifier    string
	State       string

	gateway string
	http    *http.Client
}

// Tokens is a token response.
type Tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	Scope        string `json:"scope"`
}

// Register registers a client with the gateway.
func (g *Gateway) Register(t testing.TB, redirectURI string) *Client {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"client_name":                "Harness",
		"redirect_uris":              []string{redirectURI},
		"token_endpoint_auth_method": "none",
		"grant_types":                []string{"authorization_code", "refresh_token"},
	})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := g.HTTP.Post(g.URL+"/api/oauth/per-user/register", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var registered struct {
		ClientID string `json:"client_id"`
	}
	decode(t, resp, http.StatusCreated, &registered)
	return &Client{
		ID:          registered.ClientID,
		RedirectURI: redirectURI,
		Verifier:    rand.Text() + rand.Text(),
		State:       "state-" + rand.Text(),
		gateway:     g.URL,
		http:        g.HTTP,
	}
}

// Link is the authorization request, as the client gives it to the browser.
func (c *Client) Link(resource string) string {
	challenge := sha256.Sum256([]byte(c.Verifier))
	return c.gateway + "/api/oauth/per-user/authorize?" + url.Values{
		"response_type":         {"code"},
		"client_id":             {c.ID},
		"redirect_uri":          {c.RedirectURI},
		"state":                 {c.State},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
		"resource":              {resource},
	}.Encode()
}

// Redeem exchanges the code in the answer the browser brought.
func (c *Client) Redeem(t testing.TB, answer *url.URL, resource string) Tokens {
	t.Helper()
	q := answer.Query()
	if q.Get("code") == "" || q.Get("state") != c.State || q.Get("iss") != c.gateway {
		t.Fatalf("not an answer to this request: %s", answer)
	}
	return c.token(t, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {q.Get("code")},
		"code_verifier": {c.Verifier},
		"redirect_uri":  {c.RedirectURI},
		"resource":      {resource},
	})
}

// Refresh exchanges a refresh token.
func (c *Client) Refresh(t testing.TB, refreshToken string) Tokens {
	t.Helper()
	return c.token(t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

func (c *Client) token(t testing.TB, form url.Values) Tokens {
	t.Helper()
	form.Set("client_id", c.ID)
	resp, err := c.http.PostForm(c.gateway+"/api/oauth/per-user/token", form)
	if err != nil {
		t.Fatal(err)
	}
	var tokens Tokens
	decode(t, resp, http.StatusOK, &tokens)
	return tokens
}

// SignIn registers a client, signs the person in and returns the tokens for
// the MCP server at that path.
func (g *Gateway) SignIn(t testing.TB, person Person, path string) Tokens {
	t.Helper()
	client := g.Register(t, "http://127.0.0.1:9/callback")
	page := g.NewBrowser(t).SignIn(t, client.Link(g.URL+path), person)
	if page.Leaving == nil {
		t.Fatalf("sign-in ends on %s (%d): %s", page.URL.Path, page.Status, page.Text())
	}
	return client.Redeem(t, page.Leaving, g.URL+path)
}

func decode(t testing.TB, resp *http.Response, want int, into any) {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != want {
		t.Fatalf("%s: %s, want %d: %s", resp.Request.URL.Path, resp.Status, want, strings.TrimSpace(string(body)))
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v in %s", resp.Request.URL.Path, err, body)
	}
}
