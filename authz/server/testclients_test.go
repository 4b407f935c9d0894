package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// send makes a request with a JSON body and headers in pairs.
func (ts *testServer) send(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	ts.t.Helper()
	r := httptest.NewRequest(method, testIssuer+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	handler := ts.routes[r.URL.Path]
	if handler == nil && strings.HasPrefix(r.URL.Path, RegisterPath+"/") {
		handler = ts.routes[RegisterPath+"/"]
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// registration is what a client learns when it registers.
type registration struct {
	ID            string   `json:"client_id"`
	IssuedAt      int64    `json:"client_id_issued_at"`
	Secret        string   `json:"client_secret"`
	SecretExpires *int64   `json:"client_secret_expires_at"`
	Token         string   `json:"registration_access_token"`
	URI           string   `json:"registration_client_uri"`
	AuthMethod    string   `json:"token_endpoint_auth_method"`
	RedirectURIs  []string `json:"redirect_uris"`
	GrantTypes    []string `json:"grant_types"`
	ClientName    string   `json:"client_name"`
}

func (reg registration) path() string { return strings.TrimPrefix(reg.URI, testIssuer) }

// register registers a client that nothing is wrong with.
func (ts *testServer) register(body string) registration {
	ts.t.Helper()
	return ts.registered(ts.send(http.MethodPost, RegisterPath, body), http.StatusCreated)
}

func (ts *testServer) registered(w *httptest.ResponseRecorder, status int) registration {
	ts.t.Helper()
	var reg registration
	if err := json.Unmarshal(w.Body.Bytes(), &reg); w.Code != status || err != nil {
		ts.t.Fatalf("registration: %d %s", w.Code, w.Body)
	}
	return reg
}

// refused checks that a request failed as it should, and says nothing more.
func (ts *testServer) refused(w *httptest.ResponseRecorder, status int, code string) {
	ts.t.Helper()
	var e struct {
		Error string `json:"error"`
		ID    string `json:"correlation_id"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != status || e.Error != code || e.ID == "" {
		ts.t.Errorf("got %d %s, want %d %s", w.Code, w.Body, status, code)
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
		ts.t.Errorf("headers %v", w.Header())
	}
}

// lookup asks for a client as a stranger does.
func (ts *testServer) lookup(id string) (*clients.Client, error) {
	return ts.lookupFrom(stranger.Address, id)
}

func (ts *testServer) lookupFrom(address, id string) (*clients.Client, error) {
	return ts.as.clients.Lookup(ts.t.Context(), id, clients.Requester{Address: address})
}

var stranger = clients.Requester{Address: "192.0.2.1"}

// restart does what an operator does who starts the process anew: what is not
// stored is gone.
func (ts *testServer) restart() {
	ts.as.deps.Documents, ts.as.deps.Limiter = newDocuments(), ratelimit.New(1000)
	ts.reload(func(*siteConfig) {})
}

// stopLimits keeps what is counted from being forgotten with time.
func (ts *testServer) stopLimits() {
	ts.as.deps.Limiter.Now = func() time.Time { return testStart }
}

// allowLoopback lets the server fetch documents from this machine, as in
// development.
func (ts *testServer) allowLoopback() {
	ts.as.deps.Egress = egress.New(egress.Options{Loopback: true})
	ts.reload(func(*siteConfig) {})
}

func (s *faultyStore) CreateClient(ctx context.Context, c storage.Client, unused storage.Unused) error {
	_, err := write(s, "CreateClient", func() (struct{}, error) { return struct{}{}, s.Store.CreateClient(ctx, c, unused) })
	return err
}

func (s *faultyStore) UpdateClient(ctx context.Context, c storage.Client, old storage.Hash, revoke bool, now time.Time) (storage.Revocation, error) {
	return write(s, "UpdateClient", func() (storage.Revocation, error) { return s.Store.UpdateClient(ctx, c, old, revoke, now) })
}

func (s *faultyStore) DeleteClient(ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
	return write(s, "DeleteClient", func() (storage.Revocation, error) { return s.Store.DeleteClient(ctx, id, now) })
}

func (s *faultyStore) LastDisconnect(ctx context.Context, k storage.ConnectionKey) (uint64, error) {
	return read(s, "LastDisconnect", func() (uint64, error) { return s.Store.LastDisconnect(ctx, k) })
}

func (s *faultyStore) Used(ctx context.Context, h storage.Hash, now time.Time) (bool, error) {
	return read(s, "Used", func() (bool, error) { return s.Store.Used(ctx, h, now) })
}

func (s *faultyStore) UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (bool, error) {
	return write(s, "UseOnce", func() (bool, error) { return s.Store.UseOnce(ctx, h, expiresAt, now) })
}
