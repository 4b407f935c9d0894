package integration_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// withKey sends a key with each request, as a program without a browser does.
type withKey string

// RoundTrip implements http.RoundTripper.
func (k withKey) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(k))
	r.Close = true // the gateway is restarted meanwhile
	return http.DefaultTransport.RoundTrip(r)
}

// greet connects the official Go SDK's client with a key, and uses a tool.
func greet(ctx context.Context, g *harness.Gateway, key string) error {
	client := mcp.NewClient(&mcp.Implementation{Name: "script", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: g.URL + "/mcp", HTTPClient: &http.Client{Transport: withKey(key)},
	}, nil)
	if err != nil {
		return err
	}
	defer session.Close()
	_, err = session.CallTool(ctx, &mcp.CallToolParams{Name: "greet", Arguments: map[string]any{"name": "Ada"}})
	return err
}

// An operator makes a key for a program, and later another for it, while people
// sign in with the one in a file, which changes. Nothing of it needs a reload,
// and a restart changes nothing. No key is anywhere.
func TestVirtualKeysOfPrograms(t *testing.T) {
	upstream := harness.Record(t)
	file := filepath.Join(t.TempDir(), "alice")
	write := func(key string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(aliceKey)
	g := harness.Run(t, harness.Config{
		Directives: "identity virtual_key\nvirtual_key alice {file." + file + "}\nserver recorder /mcp " + upstream.URL,
	})
	works := func(key string) {
		t.Helper()
		if err := greet(t.Context(), g, key); err != nil {
			t.Error(err)
		}
	}
	refused := func(key string) {
		t.Helper()
		if res := g.Post(t, "/mcp", key, `{}`); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %s, want 401", res.Status)
		}
	}
	type created struct{ Key string }
	var first, second created
	operate := func(method, path, body string, status int, into *created) {
		t.Helper()
		var all map[string]any
		g.AdminJSON(t, method, "keys"+path, body, status, &all)
		if into != nil {
			into.Key, _ = all["key"].(string)
		}
	}
	operate("POST", "", `{"name":"nightly","servers":["recorder"],"expires_in":"90d"}`, http.StatusCreated, &first)
	works(first.Key)
	operate("POST", "/nightly/rotate", `{"overlap":"1h"}`, http.StatusOK, &second)
	works(first.Key)
	works(second.Key)

	before := g.SignIn(t, alice, "/mcp")
	works(before.AccessToken)
	g.Reload(t)
	works(before.AccessToken)
	write(bobKey)
	// Of a key that was good, not of one that is not yet: asked for over and over, that
	// would be guessing.
	oauthtest.Eventually(t, "the file is not read again", func() bool {
		return g.Post(t, "/mcp", aliceKey, `{}`).StatusCode == http.StatusUnauthorized
	})
	works(bobKey)
	refused(aliceKey)
	refused(before.AccessToken)
	after := g.SignIn(t, bob, "/mcp") // in the name of alice
	works(after.AccessToken)

	g.Stop(t)
	g.Restart(t)
	works(first.Key)
	works(second.Key)
	works(after.AccessToken)
	refused(before.AccessToken)
	operate("PATCH", "/nightly", `{"disabled":true}`, http.StatusOK, nil)
	refused(first.Key)
	refused(second.Key)
	operate("DELETE", "/nightly", "", http.StatusOK, nil)
	g.MustNotKeep(t, map[string]string{"first key": first.Key, "second key": second.Key, "key in the file": bobKey, "key that was there": aliceKey})
}
