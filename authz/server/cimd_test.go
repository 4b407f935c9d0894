package server

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

const goodDocument = `{"client_id":"$ID","client_name":"Claude Code","redirect_uris":["http://localhost/callback","http://127.0.0.1/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`

func newDocumentServer(t testing.TB, options ...func(*siteConfig)) (*testServer, *oauthtest.Host) {
	ts := newTestServer(t, options...)
	ts.allowLoopback()
	return ts, oauthtest.NewHost(t)
}

func TestMetadataDocument_AS20_AS21_AS22(t *testing.T) {
	ts, h := newDocumentServer(t)
	id := h.Publish("/claude.json", goodDocument)
	c, err := ts.lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != id || c.Origin != clients.MetadataDocument || c.Metadata.ClientName != "Claude Code" || c.Metadata.TokenEndpointAuthMethod != oauth.AuthNone || !c.AllowsGrant(oauth.GrantRefreshToken) {
		t.Errorf("got %+v", c)
	}
	// Claude Code: no port in the document, a free one at request time.
	f := ts.open(ts.begin(request("client_id", id, "redirect_uri", "http://localhost:53211/callback")))
	if f.Client.ID != id {
		t.Errorf("flow of %s", f.Client.ID)
	}
	if w := ts.authorizeRaw(request("client_id", id, "redirect_uri", "http://localhost:53211/other").Encode()); w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
		t.Errorf("AS-22: another redirect URI: %d", w.Code)
	}
}

func TestMetadataDocumentSignIn_H17(t *testing.T) {
	ts, h := newDocumentServer(t)
	id := h.Publish("/c", goodDocument)
	v := request("client_id", id, "redirect_uri", "http://localhost:53211/callback")
	var devices []reply
	for range 2 {
		got := ts.redeem(id, ts.approved(v, alice).Get("code"), "redirect_uri", "-")
		ts.want(got, http.StatusOK, "")
		devices = append(devices, got)
	}
	if !ts.live(devices[0].Access) {
		t.Error("signing in on a second device ends the first")
	}
	ts.want(ts.refresh(id, devices[0].Refresh), http.StatusOK, "")
}

// A host that cannot be reached, or not be trusted, tells no more than a bad
// document does.
func TestUnreachableDocuments_H16(t *testing.T) {
	ts, h := newDocumentServer(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(untrusted.Close)
	bodies := map[string]bool{}
	for name, id := range map[string]string{
		"closed port": closed.URL + "/d", "certificate of nobody": untrusted.URL + "/d", "404": h.URL + "/nothing",
	} {
		w := ts.authorizeRaw(request("client_id", id, "redirect_uri", "http://127.0.0.1/callback").Encode())
		if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		bodies[strings.ReplaceAll(w.Body.String(), ts.pages.correlationID, "")] = true
	}
	if len(bodies) != 1 {
		t.Errorf("answers differ: %v", bodies)
	}
}

func TestDocumentChanges_AS31_H12(t *testing.T) {
	ts, h := newDocumentServer(t)
	id := h.Publish("/c", goodDocument, "Cache-Control", "max-age=60")
	v := request("client_id", id, "redirect_uri", "http://localhost:53211/callback")
	b := ts.begin(v)
	issued := ts.redeem(id, ts.approved(v, alice).Get("code"), "redirect_uri", "-")
	ts.want(issued, http.StatusOK, "")
	h.Publish("/c", strings.ReplaceAll(goodDocument, "/callback", "/evil"), "Cache-Control", "max-age=60")
	if _, err := ts.as.Flows.Open(b.get(), b.flowID); err != nil {
		t.Errorf("while the old document is fresh: %v", err)
	}
	ts.clock.Advance(61 * time.Second)
	if _, err := ts.as.Flows.Open(b.get(), b.flowID); !errors.Is(err, flows.ErrInvalid) {
		t.Errorf("a flow begun under the old document: %v", err)
	}
	if w := ts.authorizeRaw(v.Encode()); w.Code != http.StatusBadRequest {
		t.Errorf("the old redirect URI: %d", w.Code)
	}
	ts.want(ts.refresh(id, issued.Refresh), http.StatusBadRequest, "invalid_grant")
	if ts.live(issued.Access) {
		t.Error("the grant made through the old redirect URI lives on")
	}
}

// A document may grow: what people approved is still in it.
func TestDocumentGrows_H12(t *testing.T) {
	ts, h := newDocumentServer(t)
	id := h.Publish("/c", goodDocument, "Cache-Control", "max-age=60")
	issued := ts.redeem(id, ts.approved(request("client_id", id, "redirect_uri", "http://localhost:53211/callback"), alice).Get("code"), "redirect_uri", "-")
	ts.want(issued, http.StatusOK, "")
	h.Publish("/c", strings.Replace(goodDocument, `["http:`, `["https://client.example/cb","http:`, 1), "Cache-Control", "max-age=60")
	ts.clock.Advance(61 * time.Second)
	ts.want(ts.refresh(id, issued.Refresh), http.StatusOK, "")
}
