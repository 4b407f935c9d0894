package authz

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

const goodDocument = `{"client_id":"$ID","client_name":"Claude Code","redirect_uris":["http://localhost/callback","http://127.0.0.1/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`

// documentLab is a lab that may load documents from the host.
var testSchemes = []string{"cursor", "com.example.app"}

func documentLab(t testing.TB, options ...func(*labSite)) (*lab, *host) {
	l := newLab(t, options...)
	l.allowLoopback()
	return l, newHost(t)
}

func TestMetadataDocument_AS20_AS21_AS22(t *testing.T) {
	l, h := documentLab(t)
	id := h.publish("/claude.json", goodDocument)
	c, err := l.lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != id || c.Origin != MetadataDocument || c.Metadata.ClientName != "Claude Code" || c.Metadata.TokenEndpointAuthMethod != oauth.AuthNone || !c.AllowsGrant(oauth.GrantRefreshToken) {
		t.Errorf("got %+v", c)
	}
	// Claude Code: no port in the document, a free one at request time.
	f := l.open(l.begin(request("client_id", id, "redirect_uri", "http://localhost:53211/callback")))
	if f.Client.ID != id {
		t.Errorf("flow of %s", f.Client.ID)
	}
	if w := l.authorizeRaw(request("client_id", id, "redirect_uri", "http://localhost:53211/other").Encode()); w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
		t.Errorf("AS-22: another redirect URI: %d", w.Code)
	}
}

func TestMetadataDocumentSignIn_H17(t *testing.T) {
	l, h := documentLab(t)
	id := h.publish("/c", goodDocument)
	v := request("client_id", id, "redirect_uri", "http://localhost:53211/callback")
	var devices []reply
	for range 2 {
		got := l.redeem(id, l.approved(v, alice).Get("code"), "redirect_uri", "-")
		l.want(got, http.StatusOK, "")
		devices = append(devices, got)
	}
	if !l.live(devices[0].Access) {
		t.Error("signing in on a second device ends the first")
	}
	l.want(l.refresh(id, devices[0].Refresh), http.StatusOK, "")
}

func TestDocumentRefused(t *testing.T) {
	serve := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{contentType}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	text := func(old, new string) func(string) string {
		return func(document string) string { return strings.Replace(document, old, new, 1) }
	}
	l, h := documentLab(t)
	good := func(path string) string { return strings.ReplaceAll(goodDocument, "$ID", h.url+path) }
	for name, tc := range map[string]struct {
		document any
		why      string // the log says
	}{
		"AS-21 no JSON":                {text(`{`, `[`), "not one JSON object"},
		"AS-21 no name":                {text(`"client_name":"Claude Code",`, ``), "client_name is missing"},
		"AS-21 empty name":             {text(`"Claude Code"`, `" "`), "client_name is missing"},
		"AS-21 no redirect URI":        {text(`["http://localhost/callback","http://127.0.0.1/callback"]`, `[]`), "redirect_uris must have"},
		"AS-21 no usable redirect URI": {text(`["http://localhost/callback","http://127.0.0.1/callback"]`, `["javascript:x"]`), "A redirect URI must be https"},
		"H07 no client_id":             {text(`"client_id"`, `"id"`), "client_id is not the document's URL"},
		"H07 another client_id":        {text(`/d","client_name`, `/e","client_name`), "client_id is not the document's URL"},
		"H07 trailing slash":           {text(`/d","client_name`, `/d/","client_name`), "client_id is not the document's URL"},
		"H07 host in another case":     {text(`http://127`, `HTTP://127`), "client_id is not the document's URL"},
		"H09 secret":                   {text(`{`, `{"client_secret":"x",`), "a public document holds no secret"},
		"H09 secret's expiry":          {text(`{`, `{"client_secret_expires_at":0,`), "a public document holds no secret"},
		"H09 Basic":                    {text(`"none"`, `"client_secret_basic"`), "token_endpoint_auth_method is not supported"},
		"H09 post":                     {text(`"none"`, `"client_secret_post"`), "token_endpoint_auth_method is not supported"},
		"H09 client_secret_jwt":        {text(`"none"`, `"client_secret_jwt"`), "token_endpoint_auth_method is not supported"},
		"H20 members twice":            {text(`{`, `{"client_name":"x",`), "member names repeat"},
		"H20 members in another case":  {text(`{`, `{"REDIRECT_URIS":["https://evil.example/"],`), "member names repeat"},
		"H05 more than 5 KiB":          {text(`{`, `{"x":"`+strings.Repeat("x", maxDocumentLen)+`",`), "more than 5120 bytes"},
		"AS-28 no keys":                {text(`"none"`, `"private_key_jwt"`), "private_key_jwt needs jwks or jwks_uri"},
		"H06 404":                      {serve(404, "application/json", good("/d")), "status 404"},
		"H06 201":                      {serve(201, "application/json", good("/d")), "status 201"},
		"H06 206":                      {serve(206, "application/json", good("/d")), "status 206"},
		"H06 HTML":                     {serve(200, "text/html", good("/d")), "not JSON"},
		"H03 redirect":                 {http.RedirectHandler("/good", http.StatusFound).ServeHTTP, "status 302"},
	} {
		t.Run(name, func(t *testing.T) {
			l.restart()
			h.publish("/good", goodDocument)
			var id string
			switch d := tc.document.(type) {
			case func(string) string:
				id = h.publish("/d", d(good("/d")))
			case http.HandlerFunc:
				id = h.handle("/d", d)
			case func(http.ResponseWriter, *http.Request):
				id = h.handle("/d", d)
			}
			c, err := l.lookup(id)
			if err == nil {
				t.Fatalf("accepted %+v", c.Metadata)
			}
			// H16: nobody learns why.
			if e := oauth.AsError(err); e.Status != http.StatusBadRequest || e.Code != "invalid_client" || e.Description != unusableDocument(nil).Description {
				t.Errorf("got %v", err)
			}
			refusedBecause(t, err, "invalid_client", tc.why)
			h.publish("/d", goodDocument)
			if _, err := l.lookup(id); err != nil {
				t.Errorf("H10: the failure is remembered: %v", err)
			}
		})
	}
}

// A host that cannot be reached, or not be trusted, tells no more than a bad
// document does.
func TestUnreachableDocuments_H16(t *testing.T) {
	l, h := documentLab(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(untrusted.Close)
	bodies := map[string]bool{}
	for name, id := range map[string]string{
		"closed port": closed.URL + "/d", "certificate of nobody": untrusted.URL + "/d", "404": h.url + "/nothing",
	} {
		w := l.authorizeRaw(request("client_id", id, "redirect_uri", "http://127.0.0.1/callback").Encode())
		if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		bodies[strings.ReplaceAll(w.Body.String(), l.pages.correlationID, "")] = true
	}
	if len(bodies) != 1 {
		t.Errorf("answers differ: %v", bodies)
	}
}

// In production nothing on this machine is asked, whatever its name or form.
func TestNoLoopback_AS26_H01(t *testing.T) {
	h := newHost(t)
	l := newLab(t)
	u, err := url.Parse(h.publish("/c", goodDocument))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{h.url + "/c", "https://" + u.Host + "/c", "https://localhost:" + u.Port() + "/c", "https://2130706433:" + u.Port() + "/c"} {
		_, err := l.lookup(id)
		refusedBecause(t, err, "invalid_client", "egress: URL not allowed")
	}
	if h.hits.Load() != 0 {
		t.Errorf("%d requests", h.hits.Load())
	}
}

func TestDocumentChanges_AS31_H12(t *testing.T) {
	l, h := documentLab(t)
	id := h.publish("/c", goodDocument, "Cache-Control", "max-age=60")
	v := request("client_id", id, "redirect_uri", "http://localhost:53211/callback")
	b := l.begin(v)
	issued := l.redeem(id, l.approved(v, alice).Get("code"), "redirect_uri", "-")
	l.want(issued, http.StatusOK, "")
	h.publish("/c", strings.ReplaceAll(goodDocument, "/callback", "/evil"), "Cache-Control", "max-age=60")
	if _, err := l.as.Flows.Open(b.get(), b.flowID); err != nil {
		t.Errorf("while the old document is fresh: %v", err)
	}
	l.advance(61 * time.Second)
	if _, err := l.as.Flows.Open(b.get(), b.flowID); !errors.Is(err, ErrFlowInvalid) {
		t.Errorf("a flow begun under the old document: %v", err)
	}
	if w := l.authorizeRaw(v.Encode()); w.Code != http.StatusBadRequest {
		t.Errorf("the old redirect URI: %d", w.Code)
	}
	l.want(l.refresh(id, issued.Refresh), http.StatusBadRequest, "invalid_grant")
	if l.live(issued.Access) {
		t.Error("the grant made through the old redirect URI lives on")
	}
}

// A document may grow: what people approved is still in it.
func TestDocumentGrows_H12(t *testing.T) {
	l, h := documentLab(t)
	id := h.publish("/c", goodDocument, "Cache-Control", "max-age=60")
	issued := l.redeem(id, l.approved(request("client_id", id, "redirect_uri", "http://localhost:53211/callback"), alice).Get("code"), "redirect_uri", "-")
	l.want(issued, http.StatusOK, "")
	h.publish("/c", strings.Replace(goodDocument, `["http:`, `["https://client.example/cb","http:`, 1), "Cache-Control", "max-age=60")
	l.advance(61 * time.Second)
	l.want(l.refresh(id, issued.Refresh), http.StatusOK, "")
}

func FuzzMetadataDocument(f *testing.F) {
	const id = "https://client.example/c"
	f.Add(strings.ReplaceAll(goodDocument, "$ID", id))
	f.Add(fmt.Sprintf(`{"client_id":%q,"CLIENT_ID":"x"}`, id))
	f.Fuzz(func(t *testing.T, body string) {
		c, err := parseMetadataDocument(id, []byte(body), testSchemes)
		if err != nil {
			return
		}
		if c.ID != id || c.Metadata.ClientName == "" || len(c.Metadata.RedirectURIs) == 0 || c.SecretHash != nil {
			t.Fatalf("%q: %+v", body, c)
		}
		if m := c.Metadata.TokenEndpointAuthMethod; m != oauth.AuthNone && m != oauth.AuthPrivateKeyJWT {
			t.Fatalf("%q: method %s", body, m)
		}
	})
}
