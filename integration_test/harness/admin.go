package harness

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Connection is a connection as the admin API shows it.
type Connection struct {
	ID             string    `json:"id"`
	Site           string    `json:"site"`
	Server         string    `json:"server"`
	Owner          string    `json:"owner"`
	Mode           string    `json:"mode"`
	Status         string    `json:"status"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
	ExpiresAt      time.Time `json:"expires_at"`
	TokenID        string    `json:"token_id"`
	TokenExpiresAt time.Time `json:"token_expires_at"`
	Scopes         []string  `json:"scopes"`
}

// Admin sends a request to the admin API, below /mcp_oauth/connections, and
// reads the answer, which must have that status, into a value unless it is nil.
// It returns the answer as it came.
func (g *Gateway) Admin(t testing.TB, method, path string, status int, into any) string {
	t.Helper()
	return g.AdminJSON(t, method, "connections"+path, "", status, into)
}

// AdminJSON is Admin below /mcp_oauth, with a body.
func (g *Gateway) AdminJSON(t testing.TB, method, path, body string, status int, into any) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.admin+"/mcp_oauth/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Close = true // a gateway that was restarted has the same address
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s %s: %s, want %d: %s", method, path, resp.Status, status, answer)
	}
	if into == nil {
		return string(answer)
	}
	decoder := json.NewDecoder(strings.NewReader(string(answer)))
	decoder.DisallowUnknownFields() // what an operator sees is all listed here
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, answer)
	}
	return string(answer)
}

// Connections returns all connections.
func (g *Gateway) Connections(t testing.TB) []Connection {
	t.Helper()
	var all struct {
		Connections []Connection `json:"connections"`
	}
	g.Admin(t, http.MethodGet, "", http.StatusOK, &all)
	return all.Connections
}

// Connection returns one connection, by its ID or that of a shared server.
func (g *Gateway) Connection(t testing.TB, id string) Connection {
	t.Helper()
	var c Connection
	g.Admin(t, http.MethodGet, "/"+id+"/status", http.StatusOK, &c)
	return c
}

// AdminAddress is where the admin API listens.
func (g *Gateway) AdminAddress() string { return g.admin }
