package client

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

// An operator may have put a key into the URL of a server.
func TestTransportErrorHasNoURL_M07(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:1/mcp?api_key=hunter2", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = http.DefaultClient.Do(req)
	if err == nil || !strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("net/http does not quote the URL any more: %v", err)
	}
	if text := transportError(err).Error(); strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}
