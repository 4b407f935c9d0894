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
func (l *lab) send(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	l.t.Helper()
	r := httptest.NewRequest(method, labIssuer+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	handler := l.routes[r.URL.Path]
	if handler == nil && strings.HasPrefix(r.URL.Path, RegisterPath+"/") {
		handler = l.routes[RegisterPath+"/"]
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

func (reg registration) path() string { return strings.TrimPrefix(reg.URI, labIssuer) }

// register registers a client that nothing is wrong with.
func (l *lab) register(body string) registration {
	l.t.Helper()
	return l.registered(l.send(http.MethodPost, RegisterPath, body), http.StatusCreated)
}

func (l *lab) registered(w *httptest.ResponseRecorder, status int) registration {
	l.t.Helper()
	var reg registration
	if err := json.Unmarshal(w.Body.Bytes(), &reg); w.Code != status || err != nil {
		l.t.Fatalf("registration: %d %s", w.Code, w.Body)
	}
	return reg
}

// refused checks that a request failed as it should, and says nothing more.
func (l *lab) refused(w *httptest.ResponseRecorder, status int, code string) {
	l.t.Helper()
	var e struct {
		Error string `json:"error"`
		ID    string `json:"correlation_id"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != status || e.Error != code || e.ID == "" {
		l.t.Errorf("got %d %s, want %d %s", w.Code, w.Body, status, code)
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
		l.t.Errorf("headers %v", w.Header())
	}
}

// lookup asks for a client as a stranger does.
func (l *lab) lookup(id string) (*clients.Client, error) {
	return l.lookupFrom(stranger.Address, id)
}

func (l *lab) lookupFrom(address, id string) (*clients.Client, error) {
	return l.as.clients.Lookup(l.t.Context(), id, clients.Requester{Address: address})
}

var stranger = clients.Requester{Address: "192.0.2.1"}

// restart does what an operator does who starts the process anew: what is not
// stored is gone.
func (l *lab) restart() {
	l.as.deps.Documents, l.as.deps.Limiter = labDocuments(), ratelimit.New(1000)
	l.reload(func(*labSite) {})
}

// stopLimits keeps what is counted from being forgotten with time.
func (l *lab) stopLimits() {
	l.as.deps.Limiter.Now = func() time.Time { return labStart }
}

// allowLoopback lets the server fetch documents from this machine, as in
// development.
func (l *lab) allowLoopback() {
	l.as.deps.Egress = egress.New(egress.Options{Loopback: true})
	l.reload(func(*labSite) {})
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
