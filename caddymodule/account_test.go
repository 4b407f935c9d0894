package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

// K13: a credential goes to the server that it was connected for: it follows
// no redirect, nor a change of the configuration.
func TestCredentialStaysWithItsServer_K13(t *testing.T) {
	notion := newService(t)
	evil := oauthtest.Serve(t, nil)
	g := newGateway(t, people("alice")+notion.server())
	alice := g.person("alice")
	alice.connect("notion")
	notion.Change(func() {
		notion.Answer = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, evil.URL, http.StatusFound) }
	})
	status(t, alice.call(toolCall), http.StatusBadGateway)
	if n := evil.Hits(); n != 0 {
		t.Errorf("%d requests followed the redirect", n)
	}
	moved := strings.Replace(notion.server(), notion.URL, evil.URL, 1)
	g.load(g.caddyfile(people("alice") + moved))
	if got := status(t, alice.call(toolCall), http.StatusOK); !connectLink.MatchString(got) {
		t.Errorf("another server under the same id: %s", got)
	}
	if n := evil.Hits(); n != 0 {
		t.Errorf("%d requests went to another server", n)
	}
	// One that only moved says so.
	g.load(g.caddyfile(people("alice") + strings.Replace(moved, "per_user_oauth {", "per_user_oauth {\nresource "+notion.URL+"/mcp", 1)))
	status(t, alice.call(toolCall), http.StatusOK)
	if n := evil.Hits(); n != 1 {
		t.Errorf("%d requests went to the new address", n)
	}
}

// K14: a record in another person's place opens nothing.
func TestSwappedRecords_K14(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice", "bob")+notion.server())
	alice, bob := g.person("alice"), g.person("bob")
	alice.connect("notion")
	bob.connect("notion")
	store, now := g.store(), time.Now()
	key := func(name string) storage.ConnectionKey {
		return storage.ConnectionKey{Issuer: g.url, Owner: "virtual_key:" + name, Server: "notion"}
	}
	hers, err := store.Connection(t.Context(), key("alice"), now)
	if err != nil {
		t.Fatal(err)
	}
	his, err := store.Connection(t.Context(), key("bob"), now)
	if err != nil {
		t.Fatal(err)
	}
	hers.Secret, his.Secret = his.Secret, hers.Secret
	for _, c := range []storage.Connection{hers, his} {
		if _, verdict, err := store.PutConnection(t.Context(), c, now); err != nil || verdict != storage.OK {
			t.Fatalf("got %v, error %v; want %v", verdict, err, storage.OK)
		}
	}
	g.forget(key("alice"), key("bob")) // what was read before is believed for a moment
	notion.ForgetAccounts()
	for _, p := range []*person{alice, bob} {
		if body := status(t, p.call(toolCall), http.StatusBadGateway); !strings.Contains(body, "correlation_id") {
			t.Errorf("answer %s", body)
		}
	}
	if got := notion.Accounts(); len(got) != 0 {
		t.Errorf("the upstream saw calls of %q, want none", got)
	}
	if !strings.Contains(g.log(), "a stored record cannot be decrypted") {
		t.Error("nothing in the log")
	}
}

// state returns what the gateway shares between configurations.
func (g *instance) state() *processState {
	app := activeApp()
	app.mu.Lock()
	defer app.mu.Unlock()
	return app.state
}

func (g *instance) store() storage.Store { return g.state().store }

// forget makes the gateway read connections anew.
func (g *instance) forget(keys ...storage.ConnectionKey) {
	for _, k := range keys {
		g.state().connections.Forget(k)
	}
}

// N01: connections, and sessions over them, outlive a reload; the configuration
// that serves decides how a call goes.
func TestReloadWithConnections_N01(t *testing.T) {
	notion := newService(t)
	lines := people("alice") + notion.server()
	g := newGateway(t, lines)
	alice := g.person("alice")
	alice.connect("notion")
	session := alice.call(initialize).Header.Get("Mcp-Session-Id")
	for range 3 {
		g.load(g.caddyfile(lines))
		if got := status(t, alice.call(toolCall, "Mcp-Session-Id", session), http.StatusOK); !strings.Contains(got, `"account":"alice"`) {
			t.Errorf("after a reload: %s", got)
		}
	}
	if got := len(notion.provider.Refreshes()); got != 0 {
		t.Errorf("%d refreshes, want none", got)
	}
	g.load(g.caddyfile(people("alice") + strings.Replace(notion.server(), "per_user_oauth", "per_user_headers", 1)))
	if got := status(t, alice.call(toolCall), http.StatusOK); !connectLink.MatchString(got) {
		t.Errorf("another way to connect: %s", got)
	}
	g.load(g.caddyfile(people("alice") + "server notion /mcp " + notion.URL + "/mcp"))
	status(t, alice.call(toolCall), http.StatusBadGateway) // the upstream got no credential
	g.load(g.caddyfile(lines))
	alice.wantAccount("alice")
}

// P-11: an event stream ends with the connection that it was opened with.
func TestStreamEndsWithItsConnection_P11(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice", "bob")+notion.server())
	alice, bob := g.person("alice"), g.person("bob")
	alice.connect("notion")
	bob.connect("notion")
	notion.Change(func() {
		notion.Answer = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte("data: open\n\n"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})
	hers, his := alice.call(toolCall), bob.call(toolCall)
	for _, res := range []*http.Response{hers, his} {
		if data, err := readEvent(res.Body); err != nil || data != "open" {
			t.Fatalf("got %v, error %v; want %v", data, err, "open")
		}
	}
	g.state().recheck(t.Context())
	alice.disconnect("notion")
	g.state().recheck(t.Context())
	if data, err := readEvent(hers.Body); !errors.Is(err, io.EOF) {
		t.Errorf("her stream goes on: %q %v", data, err)
	}
	if open := g.state().Streams.Len(); open != 1 {
		t.Errorf("%d streams are open", open)
	}
	// A configuration in which the server needs no account ends the others'.
	g.load(g.caddyfile(people("alice", "bob") + "server notion " + serverPath(t) + " " + notion.URL))
	g.state().recheck(t.Context())
	if data, err := readEvent(his.Body); !errors.Is(err, io.EOF) {
		t.Errorf("his stream goes on without an account: %q %v", data, err)
	}
	notion.CloseClientConnections()
}

// A pasted key goes where the operator said, after it was tried, and nowhere else.
func TestPastedKey(t *testing.T) {
	up := oauthtest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "Token good" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		oauthtest.Document(oauthtest.Object{"jsonrpc": "2.0", "id": 1, "result": oauthtest.Object{}})(w, r)
	})
	g := newGateway(t, people("alice", "bob")+"insecure_allow_loopback\nserver notion /mcp "+up.URL+"/mcp {\nauth per_user_headers {\nheader X-Key \"Token \" \"Your key\"\n}\n}")
	alice, bob := g.person("alice"), g.person("bob")
	page := alice.post("/oauth/account/connect", alice.accountPage(), "server", "notion")
	if !strings.Contains(page, "Your key") {
		t.Fatalf("no form: %s", page)
	}
	if page = alice.post("/oauth/account/key", page, "server", "notion", "key-0", "bad"); strings.Contains(page, "Connected") {
		t.Errorf("a bad key: %s", page)
	}
	if page = alice.post("/oauth/account/key", page, "server", "notion", "key-0", "good"); !strings.Contains(page, "Connected") {
		t.Errorf("a good key: %s", page)
	}
	status(t, alice.call(toolCall, "X-Key", "mine", "X_Key", "mine"), http.StatusOK)
	if got := up.Last(t).Header; strings.Join(got.Values("X-Key"), "|") != "Token good" || len(got.Values("X_key")) > 0 || got.Get("Authorization") != "" {
		t.Errorf("the upstream got %v", got)
	}
	n := up.Hits()
	if got := status(t, bob.call(toolCall, "X-Key", "Token good"), http.StatusOK); !connectLink.MatchString(got) {
		t.Errorf("bob: %s", got)
	}
	if up.Hits() != n {
		t.Error("bob's call reached the upstream")
	}
}

// M01: no credential of an upstream is readable in the files of the gateway.
func TestNoCredentialOnDisk_M01_CL21(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server())
	alice := g.person("alice")
	alice.connect("notion")
	alice.wantAccount("alice")
	secrets := notion.provider.Tokens()
	if len(secrets) != 2 {
		t.Fatalf("the provider gave out %q, want an access token and a refresh token", secrets)
	}
	err := filepath.WalkDir(g.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, secret := range secrets {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s has %s", filepath.Base(path), secret)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The documents that providers read, and a callback at a path of the operator's.
func TestClientDocumentAndCallbackPath_K21(t *testing.T) {
	notion := newService(t)
	lines := people("alice") + notion.server("client_id app", "callback_path /auth/back")
	g := newGateway(t, lines)
	alice := g.person("alice")
	alice.connect("notion")
	alice.wantAccount("alice")
	status(t, g.call("GET", "/oauth/client/notion", ""), http.StatusNotFound) // no document without https
	h, _ := newStubbedHandler(t, memstore.New(), &config.Auth{Mode: "per_user_oauth"})
	e, ok := h.site.Load().routes.Find("/oauth/client/a")
	if !ok {
		t.Fatal("no document")
	}
	w := httptest.NewRecorder()
	e.Handler.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), "GET", "/oauth/client/a", nil))
	var document struct {
		ClientID     string   `json:"client_id"`
		RedirectURIs []string `json:"redirect_uris"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if w.Code != 200 || document.ClientID != "https://mcp.example.com/oauth/client/a" || len(document.RedirectURIs) != 1 ||
		document.RedirectURIs[0] != "https://mcp.example.com/api/oauth/callback/a" || w.Header().Get("Cache-Control") != "max-age=300" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	w = httptest.NewRecorder()
	e.Handler.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), "POST", "/oauth/client/a", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}
