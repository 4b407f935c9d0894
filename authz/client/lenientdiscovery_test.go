package client

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// unusableAnswers are what a place answers that has no document to offer. None
// of them says anything about the next place.
var unusableAnswers = map[string]http.HandlerFunc{
	"nothing there":      oauthtest.Answer(404, "text/plain", "no"),
	"unauthorized":       oauthtest.Answer(401, "application/json", `{"error":"unauthorized"}`),
	"forbidden":          oauthtest.Answer(403, "text/html", "<h1>no</h1>"),
	"server error":       oauthtest.Answer(500, "text/html", "canary"),
	"too many requests":  oauthtest.Answer(429, "text/plain", "canary"),
	"redirect":           oauthtest.Redirect("https://elsewhere.example/"),
	"page of an app":     oauthtest.Answer(200, "text/html", "<!doctype html>"),
	"page called JSON":   oauthtest.Answer(200, "application/json", "<!doctype html>"),
	"empty body":         oauthtest.Answer(200, "application/json", ""),
	"empty object":       oauthtest.Answer(200, "application/json", `{}`),
	"list":               oauthtest.Answer(200, "application/json", `[]`),
	"error with 200":     oauthtest.Answer(200, "application/json", `{"error":"not_found","error_description":"canary"}`),
	"wrong types":        oauthtest.Answer(200, "application/json", `{"issuer":1,"resource":1,"authorization_servers":{}}`),
	"repeated members":   oauthtest.Answer(200, "application/json", `{"issuer":"a","Issuer":"b"}`),
	"nested too deeply":  oauthtest.Answer(200, "application/json", strings.Repeat(`{"a":`, 1000)+strings.Repeat("}", 1000)),
	"too large":          oauthtest.Answer(200, "application/json", `{"x":"`+strings.Repeat("a", 64<<10)+`"}`),
	"hangs up":           oauthtest.HangUp,
	"hangs up in answer": func(w http.ResponseWriter, _ *http.Request) { cutShort(w) },
}

func cutShort(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "100")
	_, _ = w.Write([]byte(`{"issuer":`))
	panic(http.ErrAbortHandler)
}

func TestOneUnusableAnswerIsNotTheEnd(t *testing.T) {
	for kind, page := range unusableAnswers {
		for place, arrange := range map[string]func(tc *testClient){
			"where the challenge says": func(tc *testClient) {
				tc.challenge(`Bearer resource_metadata="` + tc.server.URL + `/own/place"`)
				tc.server.Page("/own/place", page)
			},
			"resource metadata of the path": func(tc *testClient) {
				tc.server.Page(prmPath, page)
				tc.server.Page(oauth.ProtectedResourcePath, oauthtest.Document(tc.server.Metadata()))
			},
			"provider metadata, OAuth": func(tc *testClient) {
				tc.provider.Page(asMetadataPath, page)
				tc.provider.Page(oidcPath, oauthtest.Document(tc.metadata()))
			},
			"provider metadata, OAuth and OpenID": func(tc *testClient) {
				issuer := tc.provider.URL + "/t"
				tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(tc.server.Metadata(), "authorization_servers", []string{issuer})))
				tc.provider.Page(asMetadataPath+"/t", page)
				tc.provider.Page(oidcPath+"/t", page)
				tc.provider.Page("/t"+oidcPath, oauthtest.Document(oauthtest.With(tc.metadata(), "issuer", issuer)))
			},
			"the first of two providers": func(tc *testClient) {
				first := oauthtest.NewHost(tc.t)
				first.Page(asMetadataPath, page)
				first.Page(oidcPath, page)
				tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(tc.server.Metadata(), "authorization_servers", []string{first.URL, tc.provider.URL})))
			},
		} {
			t.Run(place+": "+kind, func(t *testing.T) {
				tc := newTestClient(t)
				arrange(tc)
				tc.found()
			})
		}
	}
}

// What a document says and must not is no reason to look for another one.
func TestRefusalsStay_K04_K07_K08(t *testing.T) {
	for name, arrange := range map[string]func(tc *testClient){
		"another resource where the challenge says": func(tc *testClient) {
			tc.challenge(`Bearer resource_metadata="` + tc.server.URL + `/own/place"`)
			tc.server.Page("/own/place", oauthtest.Document(oauthtest.With(tc.server.Metadata(), "resource", "https://other.example/mcp")))
		},
		"another path of the server": func(tc *testClient) {
			tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(tc.server.Metadata(), "resource", tc.server.URL+"/other")))
			tc.server.Page(oauth.ProtectedResourcePath, oauthtest.Document(tc.server.Metadata()))
		},
		"another issuer": func(tc *testClient) {
			tc.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "issuer", "https://other.example")))
			tc.provider.Page(oidcPath, oauthtest.Document(tc.metadata()))
		},
		"no PKCE": func(tc *testClient) {
			tc.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "code_challenge_methods_supported", nil)))
			tc.provider.Page(oidcPath, oauthtest.Document(tc.metadata()))
		},
		"an endpoint that runs": func(tc *testClient) {
			tc.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "authorization_endpoint", "javascript:alert(1)")))
			tc.provider.Page(oidcPath, oauthtest.Document(tc.metadata()))
		},
		"a token endpoint inside": func(tc *testClient) {
			tc.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "token_endpoint", "http://10.0.0.1/token")))
			tc.provider.Page(oidcPath, oauthtest.Document(tc.metadata()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			arrange(tc)
			_, err := tc.find()
			wantProblem(t, err, ProviderUnusable)
		})
	}
}

// The pointer in a challenge is a hint: the well-known places are asked too.
func TestUnusablePointer(t *testing.T) {
	evil := oauthtest.NewHost(t)
	for name, pointer := range map[string]string{
		"empty": "", "words": "see the docs", "malformed": "http://[::1", "another scheme": "ftp://files.example/m", "no host": "https:///m",
		"relative to nothing": "gone", "with a user": "https://user@h.example/m", "this machine": evil.URL + "/m",
		"metadata of the cloud": "http://169.254.169.254/latest/meta-data", "an inner network": "https://10.0.0.1/m",
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			tc.inProduction()
			tc.challenge(`Bearer resource_metadata="` + pointer + `"`)
			tc.found()
			if got := evil.Hits(); got != 0 {
				t.Errorf("K06: the address got %d requests, want none", got)
			}
		})
	}
	for name, pointer := range map[string]string{
		"relative": `"/own/place"`, "relative to the endpoint": `"own/place"`, "single quotes": `'$/own/place'`, "no quotes": `$/own/place`,
	} {
		t.Run("read: "+name, func(t *testing.T) {
			tc := newTestClient(t)
			tc.server.Page(prmPath, nil)
			tc.server.Page("/own/place", oauthtest.Document(tc.server.Metadata()))
			tc.challenge("Bearer resource_metadata=" + strings.ReplaceAll(pointer, "$", tc.server.URL) + `, scope='a b'`)
			if got := strings.Join(tc.found().Scopes, " "); got != "a b" {
				t.Errorf("scope %q, want %q", got, "a b")
			}
		})
	}
}

// What is told names every place, the first failure first, and nothing that a
// stranger wrote but addresses without their secrets.
func TestFailuresAreTold(t *testing.T) {
	tc := newTestClient(t)
	tc.provider.Page(asMetadataPath, oauthtest.Answer(200, "application/json", `{"error":"canary"}`))
	tc.provider.Page(oidcPath, oauthtest.Answer(404, "text/plain", "canary"))
	_, err := tc.find()
	wantProblem(t, err, ProviderUnusable)
	said := err.Error()
	first, second := strings.Index(said, asMetadataPath+": issuer, authorization_endpoint or token_endpoint is missing"), strings.Index(said, oidcPath+": egress: answer not usable: status 404")
	if first < 0 || second < first || strings.Contains(said, "canary") {
		t.Errorf("told %q", said)
	}

	tc.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "issuer", "https://user:canary@other.example/?canary")))
	_, err = tc.find()
	if said := err.Error(); strings.Contains(said, "canary") || !strings.Contains(said, "configure issuer for server notion") {
		t.Errorf("told %q", said)
	}
	tc.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "issuer", tc.provider.URL+"/tenant/")))
	_, err = tc.find()
	if said := err.Error(); !strings.Contains(said, "its issuer is "+tc.provider.URL+"/tenant/, not "+tc.provider.URL+";") {
		t.Errorf("told %q", said)
	}
}

// A server can be asked in words that it does not know, and then say anything
// before it looks for credentials.
func TestChallengeIsFound(t *testing.T) {
	const place = "/own/place"
	for name, understands := range map[string]func(r *http.Request, body string) bool{
		"the current revision":        func(_ *http.Request, body string) bool { return strings.Contains(body, "server/discover") },
		"initialize":                  func(_ *http.Request, body string) bool { return strings.Contains(body, "initialize") },
		"no header of later versions": func(r *http.Request, _ string) bool { return r.Header.Get("Mcp-Protocol-Version") < "2026" },
		"only with an older header":   func(r *http.Request, _ string) bool { return r.Header.Get("Mcp-Protocol-Version") == "2025-06-18" },
	} {
		for kind, unknown := range map[string]http.HandlerFunc{
			"400":                  oauthtest.Answer(400, "application/json", `{"jsonrpc":"2.0","error":{"code":-32000}}`),
			"404":                  oauthtest.Answer(404, "text/plain", ""),
			"405":                  oauthtest.Answer(405, "text/plain", ""),
			"401 with no pointer":  oauthtest.Answer(401, "text/plain", ""),
			"500":                  oauthtest.Answer(500, "text/plain", ""),
			"an error, status 200": oauthtest.Answer(200, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32601}}`),
			"nothing":              oauthtest.HangUp,
		} {
			if strings.HasPrefix(name, "only with") && kind != "400" {
				continue // what MCP has for a header that is missing
			}
			t.Run(name+", else "+kind, func(t *testing.T) {
				tc := newTestClient(t)
				tc.server.Page(prmPath, nil)
				tc.server.Page(place, oauthtest.Document(tc.server.Metadata()))
				tc.server.Page("/mcp", func(w http.ResponseWriter, r *http.Request) {
					if !understands(r, oauthtest.ReadBody(r)) {
						unknown(w, r)
						return
					}
					w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+tc.server.URL+place+`"`)
					w.WriteHeader(http.StatusUnauthorized)
				})
				tc.found()
			})
		}
	}
}

// One that answers to strangers, or does not speak at all, may have metadata
// where it belongs.
func TestNoChallenge(t *testing.T) {
	for name, page := range map[string]http.HandlerFunc{"modern": oauthtest.StatelessServer, "legacy": oauthtest.SessionServer, "mute": oauthtest.HangUp, "down": oauthtest.Answer(503, "text/plain", "")} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			tc.server.Page("/mcp", page)
			tc.found()
		})
	}
}

// What can be read in one way only is read.
func TestLenientMetadata(t *testing.T) {
	for name, change := range map[string]func(tc *testClient, prm, as oauthtest.Object){
		"one server, no list": func(tc *testClient, prm, _ oauthtest.Object) { prm["authorization_servers"] = tc.provider.URL },
		"one method, no list": func(_ *testClient, _, as oauthtest.Object) { as["code_challenge_methods_supported"] = "S256" },
		"flags as text":       func(_ *testClient, _, as oauthtest.Object) { as["client_id_metadata_document_supported"] = "false" },
		"null members": func(_ *testClient, prm, as oauthtest.Object) {
			prm["scopes_supported"], as["revocation_endpoint"] = nil, nil
		},
		"numbers among the methods": func(_ *testClient, _, as oauthtest.Object) {
			as["token_endpoint_auth_methods_supported"] = []any{1, nil, oauth.AuthSecretBasic}
		},
		"malformed providers first": func(tc *testClient, prm, _ oauthtest.Object) {
			prm["authorization_servers"] = []any{"", "x", nil, "/y", "ftp:z", tc.provider.URL}
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			prm, as := tc.server.Metadata(), tc.metadata()
			change(tc, prm, as)
			tc.server.Page(prmPath, oauthtest.Document(prm))
			tc.provider.Page(asMetadataPath, oauthtest.Document(as))
			tc.found()
		})
	}
	t.Run("scopes in one text", func(t *testing.T) {
		tc := newTestClient(t)
		tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(tc.server.Metadata(), "scopes_supported", "a b")))
		if got := strings.Join(tc.found().Scopes, " "); got != "a b" {
			t.Errorf("scope %q, want %q", got, "a b")
		}
	})
	t.Run("byte order marks, content type twice", func(t *testing.T) {
		tc := newTestClient(t)
		for h, paths := range map[*oauthtest.Host][]string{tc.server.Host: {prmPath}, tc.provider.Host: {asMetadataPath, "/register", "/token"}} {
			for _, path := range paths {
				h.Page(path, marked(h.Page(path, nil)))
			}
		}
		if _, err := tc.redeem(tc.found()); err != nil {
			t.Error(err)
		}
	})
	t.Run("iss must come, as text", func(t *testing.T) {
		tc := newTestClient(t)
		tc.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "authorization_response_iss_parameter_supported", "true")))
		if got := tc.found().AuthorizationResponseIss; !got {
			t.Errorf("iss must come: %v, want true", got)
		}
	})
}

// marked writes a byte order mark before an answer, and its Content-Type twice.
func marked(page http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Content-Type", "application/json")
		page(&markedWriter{ResponseWriter: w}, r)
	}
}

type markedWriter struct {
	http.ResponseWriter
	begun bool
}

func (w *markedWriter) Header() http.Header {
	if w.begun {
		return http.Header{}
	}
	return w.ResponseWriter.Header()
}

func (w *markedWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		w.ResponseWriter.Header()["Content-Type"] = []string{"application/json", "application/json; charset=utf-8"}
		if _, err := w.ResponseWriter.Write([]byte("\ufeff")); err != nil {
			return 0, err
		}
	}
	return w.ResponseWriter.Write(p)
}
