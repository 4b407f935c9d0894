package clients

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// A client behind its metadata document, with its keys elsewhere, as ChatGPT does it.
func TestKeysFromURI_AS28(t *testing.T) {
	h := oauthtest.NewHost(t)
	first, second := newSigner(t, jose.ES256, "k1"), newSigner(t, jose.ES256, "k2")
	ts := newTestSite(t)
	ts.allowLoopback()
	h.Publish("/jwks", string(keySet(t, first.public())))
	id := h.Publish("/c", `{"client_id":"$ID","client_name":"ChatGPT","redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://keys.example/jwks"}`)
	// The document may only name https; here the keys come from this machine.
	c, err := ts.lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	c.Metadata.JWKSURI = h.URL + "/jwks"
	fetches := func() int { return h.Hits() - 1 }
	assertAs := func(s signer) error {
		exp := ts.clock.Now().Add(time.Minute).Unix()
		return ts.assert(s.sign(t, claims("iss", id, "sub", id, "exp", exp, "iat", exp-60)))
	}
	_, err = ts.authenticate("192.0.2.1", nil, "client_id", id)
	refusedBecause(t, err, "invalid_client", "registered to authenticate in another way") // AS-28
	for range 3 {
		if err := assertAs(first); err != nil {
			t.Fatal(err)
		}
	}
	if fetches() != 1 {
		t.Errorf("%d fetches of the keys", fetches())
	}
	for range 3 {
		refusedBecause(t, assertAs(second), "invalid_client", "signed by none of the keys")
	}
	if fetches() != 1 {
		t.Errorf("J11: %d fetches within a minute", fetches())
	}
	ts.clock.Advance(minFresh + time.Second)
	h.Handle("/jwks", http.NotFound)
	refusedBecause(t, assertAs(second), "invalid_client", "status 404")
	if err := assertAs(first); err != nil {
		t.Errorf("a stranger's unknown key ended the use of a good one: %v", err)
	}
	h.Publish("/jwks", string(keySet(t, second.public())))
	if _, err := ts.lookup(id); err != nil {
		t.Fatal(err)
	}
	if err := assertAs(second); err != nil {
		t.Errorf("after the keys were rotated: %v", err)
	}
	refusedBecause(t, assertAs(first), "invalid_client", "signed by none of the keys")
}

func TestHostileKeys_J11(t *testing.T) {
	h := oauthtest.NewHost(t)
	s := newSigner(t, jose.ES256, "k")
	ts := newTestSite(t)
	ts.allowLoopback()
	good := string(keySet(t, s.public()))
	for path, serve := range map[string]http.HandlerFunc{
		"/large": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"keys":[],"x":"%s"}`, strings.Repeat("x", maxKeySetLen))
		},
		"/redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/jwks", http.StatusFound) },
		"/private": func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.private}}})
		},
		"/twice": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[],"Keys":`+good[8:]) },
	} {
		h.Handle(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			serve(w, r)
		})
	}
	h.Publish("/jwks", good)
	for path, why := range map[string]string{
		"/large": "more than 65536 bytes", "/redirect": "status 302", "/private": "key is not public", "/twice": "member names repeat", "/missing": "status 404",
	} {
		keys, err := ts.directory.keySets.get(t.Context(), h.URL+path, stranger)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %d keys, %v, want %s", path, len(keys), err, why)
		}
	}
	if _, err := ts.directory.keySets.get(t.Context(), h.URL+"/jwks", stranger); err != nil {
		t.Error(err)
	}
}

// A client whom the operator named, or who brings what was issued to it, is told
// to try again while the host of its keys has no answer. Of any other nobody
// learns what the host did (H16).
func TestTroubleWithKeys_AS23_H16(t *testing.T) {
	s := newSigner(t, jose.ES256, "k")
	broken := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	status := func(err error) int {
		if err == nil {
			return http.StatusOK
		}
		return oauth.AsError(err).Status
	}
	as := func(ts *testSite, id string) string {
		exp := ts.clock.Now().Add(time.Minute).Unix()
		return s.sign(t, claims("iss", id, "sub", id, "exp", exp, "iat", exp-60))
	}
	t.Run("named by the operator", func(t *testing.T) {
		h := oauthtest.NewHost(t) // no TLS: the handshake fails
		ts := newAssertionSite(t, oauth.ClientMetadata{JWKSURI: strings.Replace(h.URL, "http:", "https:", 1) + "/jwks"})
		ts.allowLoopback()
		if got := status(ts.assert(as(ts, "signer"))); got != http.StatusServiceUnavailable {
			t.Errorf("got %d", got)
		}
	})
	t.Run("named by a stranger", func(t *testing.T) {
		h := oauthtest.NewHost(t)
		ts, documents := newDocumentSite(t)
		document := func(path string) string {
			id := documents.Publish(path, `{"client_id":"$ID","client_name":"c","redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://keys.example/jwks"}`)
			c, err := ts.lookup(id)
			if err != nil {
				t.Fatal(err)
			}
			c.Metadata.JWKSURI = h.URL + path // see TestKeysFromURI_AS28
			return id
		}
		known, invented := document("/known"), document("/invented")
		h.Publish("/known", string(keySet(t, s.public())))
		if got := status(ts.assert(as(ts, known))); got != http.StatusOK {
			t.Fatalf("good keys: %d", got)
		}
		h.Handle("/known", broken)
		h.Handle("/invented", broken)
		if got := status(ts.assert(as(ts, invented))); got != http.StatusUnauthorized {
			t.Errorf("keys nobody has seen: %d", got)
		}
		ts.documents.keySets.fetched(documentKey{ts.directory.keySets.rules, h.URL + "/known"}, nil, ts.clock.Now().Add(-maxFresh), 0)
		if got := status(ts.assert(as(ts, known))); got != http.StatusUnauthorized {
			t.Errorf("keys that were good: %d", got)
		}
		h.Handle("/known", http.NotFound)
		ts.clock.Advance(maxBackOff)
		if got := status(ts.assert(as(ts, known))); got != http.StatusUnauthorized {
			t.Errorf("keys that are gone: %d", got)
		}
	})
}

// After a restart nobody's keys are known: a client that signed in before does
// not lose its tokens because their host has a bad moment then.
func TestTroubleWithKeysAfterRestart_AS23_H16(t *testing.T) {
	for name, introduce := range map[string]func(ts *testSite, documents *oauthtest.Host, metadata string) (id string){
		"registered": func(ts *testSite, _ *oauthtest.Host, metadata string) string {
			return ts.register("{" + metadata)
		},
		"metadata document": func(_ *testSite, documents *oauthtest.Host, metadata string) string {
			return documents.Publish("/c", `{"client_id":"$ID",`+metadata)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ts, documents := newDocumentSite(t)
			s := newSigner(t, jose.ES256, "k")
			uri := strings.Replace(oauthtest.NewHost(t).URL, "http:", "https:", 1) + "/jwks" // no TLS: the handshake fails
			id := introduce(ts, documents, `"client_name":"c","redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"`+uri+`"}`)
			hostAnswers := func() {
				key := documentKey{ts.directory.keySets.rules, uri}
				ts.documents.keySets.fetched(key, []jose.JSONWebKey{s.public()}, ts.clock.Now(), minFresh)
			}
			assertion := func() []string {
				exp := ts.clock.Now().Add(time.Minute).Unix()
				return []string{"client_assertion_type", oauth.JWTBearerAssertion, "client_assertion", s.sign(t, claims("iss", id, "sub", id, "exp", exp, "iat", exp-60))}
			}
			redeem := func(code string) int {
				_, err := ts.authenticate("192.0.2.1", nil, append(assertion(), "code", code)...)
				if err == nil {
					return http.StatusOK
				}
				return oauth.AsError(err).Status
			}
			hostAnswers()
			if got := redeem(ts.code(id)); got != http.StatusOK {
				t.Fatalf("good keys: %d", got)
			}
			unused, other := ts.code(id), ts.code("another")

			ts.restart()
			for name, tc := range map[string]struct {
				code string
				want int
			}{
				"its own code":        {unused, http.StatusServiceUnavailable},
				"another's code":      {other, http.StatusUnauthorized},
				"a code that is none": {tokens.CodePrefix + "x", http.StatusUnauthorized},
			} {
				if got := redeem(tc.code); got != tc.want {
					t.Errorf("%s: got %d, want %d", name, got, tc.want)
				}
			}

			hostAnswers()
			if got := redeem(unused); got != http.StatusOK {
				t.Errorf("good keys again: %d", got)
			}
		})
	}
}

// The keys' address is a stranger's word: where it leads is checked before
// anything is dialled.
func TestKeysFromPrivateAddress_G06(t *testing.T) {
	address, dialled := oauthtest.NewListener(t)
	s := newSigner(t, jose.ES256, "k")
	for _, uri := range []string{"https://" + address + "/jwks", "https://localhost" + address[strings.LastIndex(address, ":"):] + "/jwks"} {
		ts := newAssertionSite(t, oauth.ClientMetadata{JWKSURI: uri})
		if err := ts.assert(s.sign(t, claims())); err == nil || oauth.AsError(err).Status != http.StatusUnauthorized {
			t.Errorf("%s: %v", uri, err)
		}
		if n := dialled(); n != 0 {
			t.Errorf("%s: dialled %d times", uri, n)
		}
		ts.allowLoopback() // where it is allowed, it is: this test can fail
		_ = ts.assert(s.sign(t, claims()))
		if dialled() == 0 {
			t.Errorf("%s: never dialled", uri)
		}
	}
}
