package doctor

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	serverURL = "https://mcp.example.com/mcp"
	issuer    = "https://as.example.com"
	goodToken = "token-of-a-person"
	scope     = "mcp:use"
	document  = "https://client.example.com/client.json"
)

type object = map[string]any

// site is an MCP server and its authorization server, in order unless a test
// breaks something.
type site struct {
	// documents are served as JSON, by host and path.
	documents map[string]object
	// pages answer in place of what is there, by method, host and path; a page
	// may go on with what it replaces.
	pages map[string]func(w http.ResponseWriter, r *http.Request, before http.Handler)
	// asks is false for a server that issues codes without asking anybody.
	asks bool
	// open is true for a server that needs no token.
	open bool
	// needsChallenge and checksPort are rules of the authorization server.
	needsChallenge, anyPort, iss bool
	revisions                    []string

	mu      sync.Mutex
	clients map[string]string // redirect URI by id
	deleted int
	revoked int
	seen    []string // Authorization headers
}

func newSite() *site {
	s := &site{
		clients: map[string]string{}, pages: map[string]func(http.ResponseWriter, *http.Request, http.Handler){},
		asks: true, needsChallenge: true, anyPort: true, iss: true, revisions: []string{"2025-11-25", "2026-07-28"},
	}
	provider := object{
		"issuer": issuer, "authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/token",
		"registration_endpoint": issuer + "/register", "revocation_endpoint": issuer + "/revoke", "response_types_supported": []string{"code"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"token_endpoint_auth_methods_supported":          []string{"none"},
		"code_challenge_methods_supported":               []string{"S256"},
		"client_id_metadata_document_supported":          true,
		"authorization_response_iss_parameter_supported": true,
	}
	// A revision of 2025-03-26 looks at the server's origin.
	early := object{}
	for name, value := range provider {
		early[name] = value
	}
	s.documents = map[string]object{
		"mcp.example.com/.well-known/oauth-protected-resource/mcp": {
			"resource": serverURL, "authorization_servers": []string{issuer}, "scopes_supported": []string{scope},
		},
		"as.example.com/.well-known/oauth-authorization-server":  provider,
		"mcp.example.com/.well-known/oauth-authorization-server": early,
	}
	return s
}

// examine examines the site.
func (s *site) examine(t *testing.T, o Options) *Report {
	t.Helper()
	return s.examineWith(t.Context(), t, o)
}

func (s *site) examineWith(ctx context.Context, t *testing.T, o Options) *Report {
	t.Helper()
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	o.RootCAs = x509.NewCertPool()
	o.RootCAs.AddCert(server.Certificate())
	o.internet = true
	o.ClientDocument = document
	if o.Redirect = localhostRedirect; o.ClientID != "" {
		o.Redirect = loopbackRedirect
	}
	o.dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		switch {
		case strings.HasPrefix(address, "private."):
			return nil, errPrivateAddress
		case strings.HasPrefix(address, "nobody."):
			return nil, &net.OpError{Op: "dial", Err: fmt.Errorf("connection refused")}
		}
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	return Examine(ctx, serverURL, o)
}

func (s *site) provider() object {
	return s.documents["as.example.com/.well-known/oauth-authorization-server"]
}

// both changes the metadata of the authorization server wherever it is.
func (s *site) both(name string, value any) {
	for _, at := range []string{"as.example.com", "mcp.example.com"} {
		m := s.documents[at+"/.well-known/oauth-authorization-server"]
		m[name] = value
		if value == nil {
			delete(m, name)
		}
	}
}

func (s *site) resource() object {
	return s.documents["mcp.example.com/.well-known/oauth-protected-resource/mcp"]
}

// move moves a document to other places.
func (s *site) move(from string, to ...string) {
	d := s.documents[from]
	delete(s.documents, from)
	for _, place := range to {
		s.documents[place] = d
	}
}

func (s *site) page(at string, page func(w http.ResponseWriter, r *http.Request, before http.Handler)) {
	s.pages[at] = page
}

// always has a page answer so.
func (s *site) always(at string, status int, headers ...string) {
	s.page(at, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { answerWith(w, status, headers...) })
}

func answerWith(w http.ResponseWriter, status int, headers ...string) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	body := ""
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "" {
			body = headers[i+1]
			continue
		}
		w.Header().Set(headers[i], headers[i+1])
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.Header.Get("Authorization"))
	at := r.Host + r.URL.Path
	healthy := http.HandlerFunc(s.healthy)
	for _, key := range []string{r.Method + " " + at, at} {
		if page := s.pages[key]; page != nil {
			page(w, r, healthy)
			return
		}
	}
	healthy(w, r)
}

func (s *site) healthy(w http.ResponseWriter, r *http.Request) {
	at := r.Host + r.URL.Path
	if at != "mcp.example.com/mcp" && r.URL.Path != "/authorize" {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	}
	if r.Method == http.MethodOptions {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, MCP-Protocol-Version, Mcp-Session-Id")
		return
	}
	switch {
	case s.documents[at] != nil:
		writeJSON(w, http.StatusOK, s.documents[at])
	case at == "mcp.example.com/mcp":
		s.mcp(w, r)
	case at == "as.example.com/register":
		s.register(w, r)
	case strings.HasPrefix(at, "as.example.com/register/"):
		s.unregister(w, r)
	case at == "as.example.com/authorize":
		s.authorize(w, r)
	case at == "as.example.com/token":
		s.token(w, r)
	case at == "as.example.com/revoke":
		s.revoked++
	default:
		http.NotFound(w, r)
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (s *site) mcp(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, Mcp-Session-Id")
	if origin := r.Header.Get("Origin"); origin != "" {
		if origin != pageOrigin {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	challenge := fmt.Sprintf(`Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp", scope="%s"`, scope)
	switch r.Header.Get("Authorization") {
	case "Bearer " + goodToken:
	case "":
		if !s.open {
			answer401(w, challenge)
			return
		}
	default:
		answer401(w, challenge+`, error="invalid_token"`)
		return
	}
	switch r.Method {
	case http.MethodDelete:
	case http.MethodPost:
		s.message(w, r)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func answer401(w http.ResponseWriter, challenge string) {
	w.Header().Set("WWW-Authenticate", challenge)
	writeJSON(w, http.StatusUnauthorized, object{"error": "invalid_token"})
}

func (s *site) message(w http.ResponseWriter, r *http.Request) {
	var m struct {
		Method string
		Params struct {
			ProtocolVersion string
			Meta            object `json:"_meta"`
		}
	}
	_ = json.NewDecoder(r.Body).Decode(&m)
	stateless := m.Params.Meta != nil
	version := r.Header.Get("Mcp-Protocol-Version")
	switch {
	case stateless && (!slices.Contains(s.revisions, "2026-07-28") || r.Header.Get("Mcp-Method") != m.Method):
		writeJSON(w, http.StatusBadRequest, object{"jsonrpc": "2.0", "id": 1, "error": object{"code": -32020, "message": "no"}})
		return
	case version == "1999-12-31":
		w.WriteHeader(http.StatusBadRequest)
		return
	case !stateless && m.Method != "initialize" && r.Header.Get("Mcp-Session-Id") != "session-1":
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var result object
	switch m.Method {
	case "initialize":
		w.Header().Set("Mcp-Session-Id", "session-1")
		result = object{"protocolVersion": m.Params.ProtocolVersion, "capabilities": object{}, "serverInfo": object{"name": "test", "version": "1"}}
	case "server/discover":
		result = object{"supportedVersions": s.revisions, "capabilities": object{}}
	case "tools/list":
		result = object{"tools": []object{{"name": "one"}}}
	default:
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	data, _ := json.Marshal(object{"jsonrpc": "2.0", "id": 1, "result": result})
	fmt.Fprintf(w, "event: message\ndata: %s\n\n", data)
}
