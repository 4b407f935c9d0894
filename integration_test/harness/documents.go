package harness

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Documents is an https site on loopback that client ID metadata documents are
// published on.
type Documents struct {
	// Env makes a gateway trust the site's certificate.
	Env []string

	url       string
	mu        sync.Mutex
	published map[string][]byte
}

// ServeDocuments starts the site.
func ServeDocuments(t testing.TB) *Documents {
	t.Helper()
	d := &Documents{published: map[string][]byte{}}
	site := httptest.NewTLSServer(d)
	t.Cleanup(site.Close)
	certificate := filepath.Join(t.TempDir(), "documents.pem")
	encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: site.Certificate().Raw})
	if err := os.WriteFile(certificate, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	d.url = site.URL
	d.Env = []string{"SSL_CERT_FILE=" + certificate}
	return d
}

// Publish publishes the document of a public client and returns its URL, which
// is the client's ID.
func (d *Documents) Publish(name string, redirectURIs ...string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	path := fmt.Sprintf("/client-%d.json", len(d.published))
	document, err := json.Marshal(map[string]any{
		"client_id":                  d.url + path,
		"client_name":                name,
		"redirect_uris":              redirectURIs,
		"grant_types":                []string{"authorization_code", "refresh_token"},
		"response_types":             []string{"code"},
		"token_endpoint_auth_method": "none",
	})
	if err != nil {
		panic(err) // strings only
	}
	d.published[path] = document
	return d.url + path
}

func (d *Documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	document, ok := d.published[r.URL.Path]
	d.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(document)
}
