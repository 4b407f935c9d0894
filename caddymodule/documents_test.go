package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// A reload must not send every client's metadata document to be fetched again:
// its host may be down just then.
func TestReloadKeepsDocuments_H10(t *testing.T) {
	var down atomic.Bool
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"client_id":"http://%s%s","client_name":"c","redirect_uris":["http://localhost/cb"]}`, r.Host, r.URL.Path)
	}))
	t.Cleanup(host.Close)
	lines := alice + "insecure_allow_loopback\nserver a /mcp http://127.0.0.1:1/mcp\n"
	g := newGateway(t, lines)
	authorize := func(path string) int {
		t.Helper()
		query := url.Values{
			"response_type": {"code"}, "client_id": {host.URL + path}, "redirect_uri": {"http://localhost:5000/cb"},
			"code_challenge": {strings.Repeat("a", 43)}, "code_challenge_method": {"S256"},
		}
		res, err := http.DefaultTransport.RoundTrip(httptest.NewRequest(http.MethodGet, g.url+"/api/oauth/per-user/authorize?"+query.Encode(), nil))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := authorize("/known"); got != http.StatusFound {
		t.Fatalf("authorize: %d", got)
	}
	down.Store(true)
	g.load(g.caddyfile(lines + "code_lifetime 1m\n"))
	if got := authorize("/known"); got != http.StatusFound {
		t.Errorf("after a reload: %d", got)
	}
	if got := authorize("/unknown"); got != http.StatusBadRequest {
		t.Errorf("a document that cannot be had: %d", got)
	}
}
