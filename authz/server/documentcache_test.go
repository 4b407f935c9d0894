package server

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// look asks for a document and returns how many requests that made.
func (ts *testServer) look(t *testing.T, h *oauthtest.Host, id string) (int, error) {
	t.Helper()
	before := h.Hits()
	_, err := ts.lookup(id)
	return h.Hits() - before, err
}
