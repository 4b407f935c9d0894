package server

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
)

// refusedRequest asserts that an authorization request ends on our own page,
// goes nowhere, and leaves nothing behind.
func (ts *testServer) refusedRequest(w *httptest.ResponseRecorder, status int, code string) {
	ts.t.Helper()
	if w.Code != status || !strings.Contains(ts.pages.message, "("+code+")") {
		ts.t.Errorf("answer = %d %q, want %d with %s", w.Code, ts.pages.message, status, code)
	}
	if w.Header().Get("Location") != "" || w.Header().Get("Set-Cookie") != "" {
		ts.t.Errorf("a refused request got Location %q, cookie %q", w.Header().Get("Location"), w.Header().Get("Set-Cookie"))
	}
	if uuid.Validate(ts.pages.correlationID) != nil || !ts.inDefaultLog(ts.pages.correlationID) {
		ts.t.Errorf("correlation id %q is not in the log", ts.pages.correlationID)
	}
	if n := ts.store.writes.Load(); n != 0 {
		ts.t.Errorf("%d writes", n)
	}
}

func TestAuthorizeStartsFlow_AS40_A15(t *testing.T) {
	for name, path := range map[string]string{"documented": AuthorizePath, "default of 2025-03-26": "/authorize"} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			w := ts.serve(httptest.NewRequest(http.MethodGet, testIssuer+path+"?"+request("unknown", "ignored", "prompt", "none").Encode(), nil))
			if w.Code != http.StatusFound || !strings.HasPrefix(w.Header().Get("Location"), ConsentPath+"?flow_id=") {
				t.Fatalf("answer = %d to %q", w.Code, w.Header().Get("Location"))
			}
			for header, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Access-Control-Allow-Origin": ""} {
				if got := w.Header().Get(header); got != want {
					t.Errorf("%s = %q, want %q", header, got, want)
				}
			}
		})
	}
}

func TestAuthorizeByPost_AS40_A14(t *testing.T) {
	ts := newTestServer(t)
	r := httptest.NewRequest(http.MethodPost, testIssuer+AuthorizePath+"?client_id=evil", strings.NewReader(request().Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := ts.serve(r)
	if w.Code != http.StatusSeeOther {
		t.Fatalf("answer = %d %s", w.Code, w.Body)
	}
}

func TestRedirectURI_A01_A02_A03_A06_A07_A13_AS42_AS44_AS45(t *testing.T) {
	tests := []struct {
		name, client, uri string
		ok                bool
	}{
		{"registered", "app", testRedirect, true},
		{"registered with query", "app", "https://app.example/other?keep=1", true},
		{"other host", "app", "https://evil.example/cb", false},
		{"longer host", "app", "https://evil-app.example/cb", false},
		{"host as user", "app", "https://app.example@evil.example/cb", false},
		{"backslash", "app", `https://app.example\@evil.example/cb`, false},
		{"slash at the end", "app", testRedirect + "/", false},
		{"upper case", "app", "https://app.example/CB", false},
		{"default port", "app", "https://app.example:443/cb", false},
		{"query", "app", testRedirect + "?x", false},
		{"fragment", "app", testRedirect + "#", false},
		{"encoded", "app", "https://app.example/%63b", false},
		{"other path", "app", "https://app.example/cb2", false},
		{"query changed", "app", "https://app.example/other?keep=2", false},
		{"http", "app", "http://app.example/cb", false},
		{"control character", "app", testRedirect + "\r\nX: y", false},
		{"loopback port", "native", "http://127.0.0.1:5000/cb", true},
		{"loopback without port", "native", "http://127.0.0.1/cb", true},
		{"loopback path", "native", "http://127.0.0.1:5000/other", false},
		{"loopback name", "native", "http://localhost:5000/cb", false},
		{"loopback https", "native", "https://127.0.0.1:5000/cb", false},
		{"other loopback address", "native", "http://127.0.0.2:5000/cb", false},
		{"loopback query", "native", "http://127.0.0.1:5000/cb?x=1", false},
		{"editor", "editor", "cursor://anysphere.cursor/cb", true},
		{"omitted, one registered", "single", "-", true},
		{"omitted, several registered", "app", "-", false},
		{"omitted, loopback", "native", "-", false},
		{"empty is omitted", "app", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t)
			w := ts.authorizeRaw(request("client_id", tt.client, "redirect_uri", tt.uri).Encode())
			if !tt.ok {
				ts.refusedRequest(w, http.StatusBadRequest, "invalid_request")
				return
			}
			if w.Code != http.StatusFound {
				t.Errorf("answer = %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestBadRequests_A10_A12_AS41_B01_B02_B03_F01_F03(t *testing.T) {
	tests := []struct {
		name, parameter, value, code string
	}{
		{"unknown client", "client_id", uuid.NewString(), "invalid_client"},
		{"no client", "client_id", "-", "invalid_request"},
		{"implicit", "response_type", "token", "unsupported_response_type"},
		{"hybrid", "response_type", "code token", "unsupported_response_type"},
		{"no response type", "response_type", "-", "invalid_request"},
		{"fragment", "response_mode", "fragment", "invalid_request"},
		{"request object", "request", "e30.e30.", "request_not_supported"},
		{"request object elsewhere", "request_uri", "https://x", "request_uri_not_supported"},
		{"no challenge", "code_challenge", "-", "invalid_request"},
		{"empty challenge", "code_challenge", "", "invalid_request"},
		{"plain", "code_challenge_method", "plain", "invalid_request"},
		{"no method", "code_challenge_method", "-", "invalid_request"},
		{"lower-case method", "code_challenge_method", "s256", "invalid_request"},
		{"other method", "code_challenge_method", "S512", "invalid_request"},
		{"42 characters", "code_challenge", strings.Repeat("a", 42), "invalid_request"},
		{"44 characters", "code_challenge", strings.Repeat("a", 44), "invalid_request"},
		{"padded", "code_challenge", strings.Repeat("a", 43) + "=", "invalid_request"},
		{"base64, not url", "code_challenge", strings.Repeat("a", 42) + "+", "invalid_request"},
		{"line break in challenge", "code_challenge", strings.Repeat("a", 42) + "\n", "invalid_request"},
		{"unknown resource", "resource", "https://other.example/mcp", "invalid_target"},
		{"neighbouring resource", "resource", mainResource + "2", "invalid_target"},
		{"relative resource", "resource", "/mcp", "invalid_target"},
		{"resource with fragment", "resource", mainResource + "#f", "invalid_target"},
		{"resource with empty fragment", "resource", mainResource + "#", "invalid_target"},
		{"resource with user", "resource", "https://u@mcp.example.com/mcp", "invalid_target"},
		{"long resource", "resource", mainResource + "/" + strings.Repeat("a", 3<<10), "invalid_target"},
		{"malformed scope", "scope", `mcp:use "x"`, "invalid_scope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t)
			v := request(tt.parameter, tt.value)
			ts.refusedRequest(ts.authorizeRaw(v.Encode()), http.StatusBadRequest, tt.code)
		})
	}
}

func TestRepeatedParameter_A11(t *testing.T) {
	for name := range request("unknown", "x") {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			v := request("unknown", "x")
			v.Add(name, v.Get(name))
			w := ts.authorizeRaw(v.Encode())
			if name == "resource" {
				if w.Code != http.StatusFound {
					t.Errorf("answer = %d %s", w.Code, w.Body)
				}
				return
			}
			ts.refusedRequest(w, http.StatusBadRequest, "invalid_request")
		})
	}
}

func TestOversized_A17(t *testing.T) {
	many := request()
	for i := range 100 {
		many.Set("p"+strconv.Itoa(i), "x")
	}
	post := func(body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, testIssuer+AuthorizePath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	big := request("state", strings.Repeat("s", 9<<10)).Encode()
	tests := []struct {
		name   string
		r      *http.Request
		status int
	}{
		{"query", httptest.NewRequest(http.MethodGet, testIssuer+AuthorizePath+"?"+big, nil), http.StatusRequestURITooLong},
		{"form", post(big), http.StatusRequestEntityTooLarge},
		{"number of parameters", httptest.NewRequest(http.MethodGet, testIssuer+AuthorizePath+"?"+many.Encode(), nil), http.StatusBadRequest},
		{"malformed query", httptest.NewRequest(http.MethodGet, testIssuer+AuthorizePath+"?a=%zz", nil), http.StatusBadRequest},
		{"semicolons", httptest.NewRequest(http.MethodGet, testIssuer+AuthorizePath+"?a=1;b=2", nil), http.StatusBadRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t)
			ts.refusedRequest(ts.serve(tt.r), tt.status, "invalid_request")
		})
	}
}

func TestAuthorizeMethod_A18(t *testing.T) {
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions} {
		t.Run(method, func(t *testing.T) {
			ts := newTestServer(t)
			w := ts.serve(httptest.NewRequest(method, testIssuer+AuthorizePath+"?"+request().Encode(), nil))
			ts.refusedRequest(w, http.StatusMethodNotAllowed, "invalid_request")
			if w.Header().Get("Allow") != "GET, POST" {
				t.Errorf("Allow = %q", w.Header().Get("Allow"))
			}
		})
	}
}

// Whatever the state holds, it comes back byte for byte and cannot leave its
// parameter.
func TestState_A09_A20_AS47(t *testing.T) {
	states := map[string]string{
		"none":            "",
		"line breaks":     "\r\nSet-Cookie: a=b",
		"reserved":        "+ %20&=#?/;",
		"2 KiB":           strings.Repeat("+%20&", 2<<10/5),
		"not UTF-8":       "\xff\xfe\x00",
		"looks like ours": "x&code=forged&iss=https://evil.example",
	}
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			f := ts.identified(request("state", state), alice)
			target, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}})
			if err != nil {
				t.Fatal(err)
			}
			if strings.ContainsFunc(target, func(c rune) bool { return c <= ' ' || c > '~' }) {
				t.Errorf("raw bytes in %q", target)
			}
			got := answer(t, target)
			if got.Get("state") != state || got.Has("state") != (state != "") {
				t.Errorf("state = %q, want %q", got.Get("state"), state)
			}
			if len(got["code"]) != 1 || !slices.Equal(got["iss"], []string{testIssuer}) {
				t.Errorf("code, iss = %q, %q", got["code"], got["iss"])
			}
		})
	}
}

func TestControlCharacters_A09(t *testing.T) {
	for _, parameter := range []string{"client_id", "redirect_uri", "scope", "resource", "code_challenge", "unknown"} {
		for _, c := range []string{"\x00", "\n", "\r", "\x1f", "\x7f"} {
			ts := newTestServer(t)
			v := request("unknown", "x")
			v.Set(parameter, v.Get(parameter)+c)
			ts.refusedRequest(ts.authorizeRaw(v.Encode()), http.StatusBadRequest, "invalid_request")
		}
	}
}

// A stranger's requests leave nothing in the store, however many.
func TestNothingStored_I21(t *testing.T) {
	ts := newTestServer(t)
	for range 1000 {
		ts.begin(request())
	}
	if n := ts.store.writes.Load(); n != 0 {
		t.Errorf("%d writes", n)
	}
}

// Wrong requests are counted per address, right ones are free: a web page can
// make a browser send as many wrong ones as it likes.
func TestAuthorizeLimit(t *testing.T) {
	ts := newTestServer(t)
	ts.stopLimits()
	wrong := func() *httptest.ResponseRecorder { return ts.authorizeRaw(request("client_id", "x").Encode()) }
	for range rejectedRequestsPerMinute {
		ts.begin(request())
		ts.refusedRequest(wrong(), http.StatusBadRequest, "invalid_client")
	}
	w := wrong()
	ts.refusedRequest(w, http.StatusTooManyRequests, "temporarily_unavailable")
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	ts.begin(request())
	r := httptest.NewRequest(http.MethodGet, testIssuer+AuthorizePath+"?"+request("client_id", "x").Encode(), nil)
	r.RemoteAddr = "198.51.100.7:1"
	ts.refusedRequest(ts.serve(r), http.StatusBadRequest, "invalid_client")
}

func TestAuthorizeStoreDown(t *testing.T) {
	ts := newTestServer(t)
	ts.store.failing("*", func() {
		w := ts.authorizeRaw(request("client_id", uuid.NewString()).Encode())
		ts.refusedRequest(w, http.StatusServiceUnavailable, "temporarily_unavailable")
		if w.Header().Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		for range rejectedRequestsPerMinute { // nothing is wrong with these requests
			ts.refusedRequest(ts.authorizeRaw(request("client_id", uuid.NewString()).Encode()), http.StatusServiceUnavailable, "temporarily_unavailable")
		}
	})
	ts.refusedRequest(ts.authorizeRaw(request("client_id", uuid.NewString()).Encode()), http.StatusBadRequest, "invalid_client")
}

func TestErrorsNeverReflect_C18(t *testing.T) {
	const canary = "<script>canary</script>"
	for parameter := range request() {
		ts := newTestServer(t)
		v := request(parameter, canary)
		if w := ts.authorizeRaw(v.Encode()); strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%s is reflected: %s", parameter, w.Body)
		}
	}
}

func FuzzAuthorize(f *testing.F) {
	f.Add(request().Encode())
	f.Add("response_type=code&client_id=app&resource=https://mcp.example.com/mcp&resource=")
	f.Add("a=%zz&&=&;")
	ts := newTestServer(f)
	f.Fuzz(func(t *testing.T, query string) {
		ts.as.deps.Limiter = ratelimit.New(1000)
		w := ts.authorizeRaw(query)
		location := w.Header().Get("Location")
		if (w.Code == http.StatusFound) != strings.HasPrefix(location, ConsentPath+"?flow_id=") {
			t.Errorf("answer = %d to %q", w.Code, location)
		}
		if w.Code != http.StatusFound && location != "" || ts.store.writes.Load() != 0 {
			t.Error("a refused request had an effect")
		}
	})
}
