package clients

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

const goodDocument = `{"client_id":"$ID","client_name":"Claude Code","redirect_uris":["http://localhost/callback","http://127.0.0.1/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`

// newDocumentSite returns one that may load documents from the host.
var testSchemes = []string{"cursor", "com.example.app"}

func newDocumentSite(t testing.TB, options ...func(*siteConfig)) (*testSite, *oauthtest.Host) {
	ts := newTestSite(t, options...)
	ts.allowLoopback()
	return ts, oauthtest.NewHost(t)
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
	ts, h := newDocumentSite(t)
	good := func(path string) string { return strings.ReplaceAll(goodDocument, "$ID", h.URL+path) }
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
			ts.restart()
			h.Publish("/good", goodDocument)
			var id string
			switch d := tc.document.(type) {
			case func(string) string:
				id = h.Publish("/d", d(good("/d")))
			case http.HandlerFunc:
				id = h.Handle("/d", d)
			case func(http.ResponseWriter, *http.Request):
				id = h.Handle("/d", d)
			}
			c, err := ts.lookup(id)
			if err == nil {
				t.Fatalf("accepted %+v", c.Metadata)
			}
			// H16: nobody learns why.
			if e := oauth.AsError(err); e.Status != http.StatusBadRequest || e.Code != "invalid_client" || e.Description != unusableDocument(nil).Description {
				t.Errorf("got %v", err)
			}
			refusedBecause(t, err, "invalid_client", tc.why)
			h.Publish("/d", goodDocument)
			if _, err := ts.lookup(id); err != nil {
				t.Errorf("H10: the failure is remembered: %v", err)
			}
		})
	}
}

// In production nothing on this machine is asked, whatever its name or form.
func TestNoLoopback_AS26_H01(t *testing.T) {
	h := oauthtest.NewHost(t)
	ts := newTestSite(t)
	u, err := url.Parse(h.Publish("/c", goodDocument))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{h.URL + "/c", "https://" + u.Host + "/c", "https://localhost:" + u.Port() + "/c", "https://2130706433:" + u.Port() + "/c"} {
		_, err := ts.lookup(id)
		refusedBecause(t, err, "invalid_client", "egress: URL not allowed")
	}
	if h.Hits() != 0 {
		t.Errorf("%d requests", h.Hits())
	}
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
