package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

// removable is a store that can be taken away; who then uses it panics.
type removable struct{ storage.Store }

// Once its token and its account are known, a call needs no store, and so it
// decrypts nothing: what is sealed is in the store alone.
func TestWarmCallReadsNothing(t *testing.T) {
	knows := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(knows.Close)
	store := &removable{memstore.New()}
	h, _ := newStubbedHandler(t, store, &config.Auth{Mode: "per_user_headers", VerifyURL: knows.URL})
	token, err := storeToken(store, "1")
	if err != nil {
		t.Fatal(err)
	}
	key := map[string]string{"Authorization": "key"}
	if err := h.site.Load().broker.ConnectHeaders(t.Context(), accounts.ConnectRequest{Owner: "anonymous:1", Server: "a"}, key); err != nil {
		t.Fatal(err)
	}
	call := func() {
		w := nowhere{http.Header{}}
		if err := h.ServeHTTP(w, newCall(token), nil); err != nil || len(w.h) > 0 {
			t.Fatalf("refused: %v, %v", err, w.h)
		}
	}
	call()
	store.Store = nil
	for range 20 {
		call()
	}
}
