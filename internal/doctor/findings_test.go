package doctor

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const (
	mcpPage      = "mcp.example.com/mcp"
	resourcePage = "mcp.example.com/.well-known/oauth-protected-resource/mcp"
	rootResource = "mcp.example.com/.well-known/oauth-protected-resource"
	providerPage = "as.example.com/.well-known/oauth-authorization-server"
	oidcPage     = "as.example.com/.well-known/openid-configuration"
	earlyPage    = "mcp.example.com/.well-known/oauth-authorization-server"
	registerPage = "POST as.example.com/register"
	authorizePag = "as.example.com/authorize"
	tokenPage    = "POST as.example.com/token"
)

// echo answers with what was sent, as if it were an error message.
func echo(w http.ResponseWriter, r *http.Request, before http.Handler) {
	if r.Header.Get("Authorization") == "" {
		before.ServeHTTP(w, r)
		return
	}
	writeJSON(w, http.StatusTeapot, object{"jsonrpc": "2.0", "id": 1, "error": object{"code": 1, "message": r.Header.Get("Authorization")}})
}

// changed answers as before, with another status or other headers; a header
// without value is removed.
func changed(status int, headers ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, before http.Handler) {
		rec := httptest.NewRecorder()
		before.ServeHTTP(rec, r)
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		for i := 0; i+1 < len(headers); i += 2 {
			if w.Header().Get(headers[i]) == "" {
				continue
			}
			w.Header().Set(headers[i], headers[i+1])
			if headers[i+1] == "" {
				w.Header().Del(headers[i])
			}
		}
		code := status
		if code == 0 || rec.Code == http.StatusForbidden {
			code = rec.Code
		}
		w.WriteHeader(code)
		_, _ = w.Write(rec.Body.Bytes())
	}
}

// when has a page answer so only if the condition holds.
func when(condition func(*http.Request) bool, page func(http.ResponseWriter, *http.Request, http.Handler)) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, before http.Handler) {
		if condition(r) {
			page(w, r, before)
			return
		}
		before.ServeHTTP(w, r)
	}
}

func with401(challenge string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return changed(0, "WWW-Authenticate", challenge)
}

func noToken(r *http.Request) bool {
	return r.Header.Get("Authorization") == "" && r.Method != http.MethodOptions
}

func madeUpToken(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Authorization"), madeUp)
}

func says(text string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		return strings.Contains(string(body), text)
	}
}

func answers(status int, headers ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { answerWith(w, status, headers...) }
}

// back sends the browser to the redirect URI with changed parameters.
func back(change func(url.Values)) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, before http.Handler) {
		rec := httptest.NewRecorder()
		before.ServeHTTP(rec, r)
		to, err := url.Parse(rec.Header().Get("Location"))
		if err == nil && rec.Code == http.StatusFound {
			q := to.Query()
			change(q)
			to.RawQuery = q.Encode()
			rec.Header().Set("Location", to.String())
		}
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}
}

const goodChallenge = `Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp", scope="mcp:use"`

func withToken(condition func(*http.Request) bool) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Header.Get("Authorization") == "Bearer "+goodToken && condition(r)
	}
}

func TestOneDefectOneFinding(t *testing.T) {
	for _, test := range defects {
		t.Run(test.id+" "+test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite()
			test.breaks(s)
			r := s.examine(t, Options{Token: test.token})
			got, want := ids(r), []string{test.id}
			if test.also != "" {
				want = append(want, test.also)
			}
			slices.Sort(got)
			slices.Sort(want)
			if got = slices.Compact(got); !slices.Equal(got, want) {
				t.Errorf("found %v, want %v\n%s", got, want, asText(t, r))
			}
			for _, f := range r.Findings {
				if slices.Contains(f.Clients, "") {
					t.Errorf("%s: clients %q, want only those that have a name", f.ID, f.Clients)
				}
			}
		})
	}
}

// Every kind of finding has a server that has it.
func TestEveryFindingHasADefect(t *testing.T) {
	shown := map[string]bool{"certificate": true, "instances_differ": true} // TestCertificate, TestDiffer
	for _, test := range defects {
		shown[test.id] = true
	}
	for _, k := range catalogue {
		if !shown[k.ID] {
			t.Errorf("nothing shows %s", k.ID)
		}
	}
}
