package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// verifiedJWT returns type and claims of a JWT, which a published key verifies.
func (g *instance) verifiedJWT(token string) (typ any, claims map[string]any) {
	g.t.Helper()
	set := new(jose.JSONWebKeySet)
	if err := json.Unmarshal([]byte(status(g.t, g.call("GET", "/.well-known/jwks.json", "", "Authorization", ""), http.StatusOK)), set); err != nil {
		g.t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		g.t.Fatalf("%q: %v", token, err)
	}
	header := jws.Signatures[0].Header
	keys := set.Key(header.KeyID)
	if len(keys) != 1 {
		g.t.Fatalf("%d keys have the id %s", len(keys), header.KeyID)
	}
	payload, err := jws.Verify(keys[0])
	if err != nil {
		g.t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		g.t.Fatal(err)
	}
	return header.ExtraHeaders[jose.HeaderType], claims
}

// The server is told who calls, by a statement that only this site can make, in
// whatever spelling a client sends the header.
func TestIdentityJWT_E09_E10(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := alice + "server a /mcp " + up.URL + " {\nidentity_jwt X-Caller\npass_headers X_Call* X.Call* X-Harmless\n}\nserver b /other " + up.URL + "\n"
	g := newGateway(t, lines)
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin off\nservers {\n"+
		"expected_underscore_headers X_Caller\nexpected_dot_headers X.Caller\n}", 1))
	got := g.raw("POST /mcp HTTP/1.1", "Host: "+g.addr, "Authorization: Bearer "+aliceKey, "Connection: close, X-Caller",
		"X-Caller: canary", "X_Caller: canary", "X.Caller: canary", "X-Harmless: kept", "Content-Length: 2", "", "{}")
	h := up.Last(t).Header
	if !strings.Contains(got, " 200 ") || h.Get("X-Harmless") != "kept" {
		t.Fatalf("answer %q, the upstream got %v", got, h)
	}
	var all bytes.Buffer
	_ = h.Write(&all)
	if strings.Contains(all.String(), "canary") || len(h.Values("X-Caller")) != 1 {
		t.Fatalf("the upstream got\n%s", &all)
	}
	typ, claims := g.verifiedJWT(h.Get("X-Caller"))
	if typ != "mcp-identity+jwt" {
		t.Errorf("typ %v", typ)
	}
	if lifetime := claims["exp"].(float64) - claims["iat"].(float64); lifetime != 60 {
		t.Errorf("good for %v seconds", lifetime)
	}
	delete(claims, "exp")
	delete(claims, "iat")
	want := map[string]any{"iss": g.url, "sub": "virtual_key:alice", "aud": g.url + "/mcp", "name": "alice", "scope": "mcp:use"}
	if !reflect.DeepEqual(claims, want) {
		t.Errorf("claims\n got %v\nwant %v", claims, want)
	}
	status(t, g.call("POST", "/other", initialize, "X-Caller", "canary"), http.StatusOK)
	if got := up.Last(t).Header.Values("X-Caller"); len(got) != 0 {
		t.Errorf("a server that is told nothing got %q", got)
	}
	if strings.Contains(g.log(), "eyJ") {
		t.Error("the log has a statement")
	}
}

// A client acts for the person. The statement serves for the calls of half a minute,
// streams among them, and is another one at another server; it opens nothing here.
func TestIdentityJWTOfAClient(t *testing.T) {
	up := oauthtest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: {}\n\n")
		}
	})
	g := newGateway(t, "identity anonymous\naccess_token_format jwt\n"+
		"server a /mcp "+up.URL+" {\nidentity_jwt Authorization\n}\nserver b /other "+up.URL+" {\nidentity_jwt X-Identity\n}\n")
	token := accessToken(t, g.signIn("Acme", g.url+"/mcp"))
	typ, access := g.verifiedJWT(token)
	if typ != "at+jwt" || access["client_id"] != g.client {
		t.Errorf("access token %v %v", typ, access)
	}
	statement := func(method string) string {
		t.Helper()
		status(t, g.call(method, "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusOK)
		value, bearer := strings.CutPrefix(up.Last(t).Header.Get("Authorization"), "Bearer ")
		if !bearer {
			t.Fatalf("the upstream got %q", up.Last(t).Header)
		}
		return value
	}
	first := statement("POST")
	_, claims := g.verifiedJWT(first)
	if claims["client_id"] != g.client || !reflect.DeepEqual(claims["act"], map[string]any{"sub": g.client}) || claims["sub"] != access["sub"] || claims["name"] != nil {
		t.Errorf("claims %v", claims)
	}
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() { statement("POST") })
	}
	calls.Wait()
	for _, method := range []string{"POST", "GET"} {
		if statement(method) != first {
			t.Errorf("%s: signed anew", method)
		}
	}
	for _, wrong := range []string{first, "x" + token} {
		status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+wrong), http.StatusUnauthorized)
	}
	status(t, g.call("POST", "/other", initialize, "Authorization", "Bearer "+token), http.StatusUnauthorized)
}

// Without a statement the call does not go on.
func TestIdentityJWTFails(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	server := "server a /mcp " + up.URL + " {\nidentity_jwt X-Identity\n}\n"
	g := newGateway(t, alice+server)
	status(t, g.call("POST", "/mcp", initialize), http.StatusOK)
	before := up.Hits()
	otherKey := "+SnYw5vyDqFv9d0pfyuAkfo8VnZLmB8yTdt5kFjZ2Ag="
	g.load(strings.Replace(g.caddyfile(alice+server), "storage bbolt {", "encryption_key "+otherKey+"\nstorage bbolt {", 1))
	if log := g.log(); !strings.Contains(log, "nothing can be signed") || !strings.Contains(log, "configure that key again, behind the one that is there now") {
		t.Error("the log does not say at once what is wrong, and what to do")
	}
	body := status(t, g.call("POST", "/mcp", initialize), http.StatusServiceUnavailable)
	if up.Hits() != before || !strings.Contains(body, "temporarily_unavailable") {
		t.Errorf("%d calls went on, answer %s", up.Hits()-before, body)
	}
	status(t, g.call("GET", "/.well-known/jwks.json", ""), http.StatusServiceUnavailable)
}

// An operator sees the keys, without what signs, and replaces them.
func TestAdminSigningKeys(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := alice + "server a /mcp " + up.URL + " {\nidentity_jwt X-Identity\n}\n"
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	list := func(method, query string) (ids []string) {
		t.Helper()
		text := admin(t, addr, method, "/mcp_oauth/signing_keys"+query, 200)
		var all struct {
			Keys []map[string]any `json:"signing_keys"`
		}
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			t.Fatal(err)
		}
		for _, key := range all.Keys {
			if len(key) != 4 || key["site"] != g.url || key["algorithm"] != "EdDSA" || key["signs_from"] == nil {
				t.Errorf("key %v", key)
			}
			ids = append(ids, key["kid"].(string))
		}
		return ids
	}
	first := list("GET", "")
	if again := list("GET", "?site="+g.url); len(first) != 1 || !reflect.DeepEqual(again, first) {
		t.Errorf("keys %v, then %v", first, again)
	}
	second := list("DELETE", "")
	if len(second) != 1 || second[0] == first[0] {
		t.Errorf("keys %v instead of %v", second, first)
	}
	if set := status(t, g.call("GET", "/.well-known/jwks.json", ""), 200); !strings.Contains(set, second[0]) || strings.Contains(set, first[0]) || strings.Contains(set, `"d"`) {
		t.Errorf("published %s", set)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/signing_keys?site=https://other.example", 404)
	admin(t, addr, "POST", "/mcp_oauth/signing_keys", 405)
	g.load(strings.Replace(g.caddyfile(alice+"server a /mcp "+up.URL), "admin off", "admin "+addr, 1))
	if got := admin(t, addr, "GET", "/mcp_oauth/signing_keys", 200); !strings.Contains(got, `"signing_keys":[]`) {
		t.Errorf("where nothing is signed: %s", got)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/signing_keys", 404)
	if left := status(t, g.call("GET", "/.well-known/jwks.json", ""), 200); left != "" { // the next handler's
		t.Errorf("published %s", left)
	}
}

// What an identity provider says of a person is in both: of what it says, the token
// has what is configured, and the statement what servers decide by.
func TestSignedClaimsOfAProvider(t *testing.T) {
	t.Setenv("OIDC_SECRET", "a-secret-of-the-provider")
	idp := oauthtest.NewIdentityProvider(t)
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, oidcLines(idp, "email verified\nallow group:staff")+"access_token_format jwt\naccess_token_claims email groups\n"+
		"server a /mcp "+up.URL+" {\nidentity_jwt X-Identity\n}")
	g.identity, g.browser = "elsewhere", g.browserTo(idp)
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))
	_, access := g.verifiedJWT(token)
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusOK)
	_, told := g.verifiedJWT(up.Last(t).Header.Get("X-Identity"))
	for name, want := range map[string][2]any{ // in the token, in the statement
		"sub":       {"oidc:idp:jane", "oidc:idp:jane"},
		"email":     {"jane@example.com", "jane@example.com"},
		"groups":    {[]any{"staff"}, []any{"staff"}},
		"name":      {nil, "Jane Doe"},
		"client_id": {g.client, g.client},
		"act":       {nil, map[string]any{"sub": g.client}},
	} {
		if got := [2]any{access[name], told[name]}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}
