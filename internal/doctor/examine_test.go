package doctor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func ids(r *Report) []string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.ID)
	}
	return all
}

func reached(r *Report) map[string]Reached {
	all := map[string]Reached{}
	for _, c := range r.Clients {
		all[c.ID] = c.Reached
	}
	return all
}

func asText(t *testing.T, r *Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.Print(&b, true); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A server that is in order has no findings, not even notes, and every family
// comes as far as it can.
func TestHealthy(t *testing.T) {
	for _, test := range []struct {
		name  string
		token string
		setUp func(*site)
		want  Reached
	}{
		{"up to the person", "", func(*site) {}, Person},
		{"with a token", goodToken, func(*site) {}, Connected},
		{"without sign-in", "", func(s *site) { s.open = true }, Connected},
		{"without revision 2026-07-28", goodToken, func(s *site) { s.revisions = s.revisions[:1] }, Connected},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite()
			test.setUp(s)
			r := s.examine(t, Options{Token: test.token})
			if r.Outcome != Healthy || len(r.Findings) != 0 {
				t.Errorf("outcome %s, findings %v\n%s", r.Outcome, ids(r), asText(t, r))
			}
			for id, got := range reached(r) {
				want := test.want
				switch {
				case id == legacyID:
					want = NotOffered
				case id == "2025-11-25-configured":
					want = Skipped
				}
				if got != want {
					t.Errorf("family %s: %s, want %s\n%s", id, got, want, asText(t, r))
				}
			}
			if made := len(s.clients); s.deleted != made {
				t.Errorf("%d clients were registered, %d deleted", made, s.deleted)
			}
		})
	}
}

// What an examination was given, or got, is in nothing that it says.
func TestNoSecretInReport(t *testing.T) {
	s := newSite()
	s.asks = false
	s.page("mcp.example.com/mcp", echo)
	s.page(tokenPage, func(w http.ResponseWriter, r *http.Request, before http.Handler) {
		if user := r.Header.Get("Authorization"); user != "" {
			writeJSON(w, http.StatusUnauthorized, object{"error": user})
			return
		}
		before.ServeHTTP(w, r)
	})
	s.clients["ours"] = loopbackRedirect
	s.both("token_endpoint_auth_methods_supported", []string{"none", "client_secret_basic"})
	r := s.examine(t, Options{Token: "secret-of-the-operator", ClientID: "ours", ClientSecret: "secret-of-the-client"})
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"secret-of-the-operator", "secret-of-the-client", base64.StdEncoding.EncodeToString([]byte("ours:secret-of-the-client")), "management-of-", "refresh-client", "issued-", goodToken} {
		if said := string(data) + asText(t, r); strings.Contains(said, secret) {
			t.Errorf("the report has %q:\n%s", secret, said)
		}
	}
}

func TestCertificate(t *testing.T) {
	server := httptest.NewTLSServer(newSite())
	t.Cleanup(server.Close)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	r := Examine(t.Context(), server.URL+"/mcp", Options{})
	if got := ids(r); r.Outcome != Findings || !slices.Equal(got, []string{"certificate"}) {
		t.Errorf("outcome %s, found %v, want [certificate]", r.Outcome, got)
	}
	if r := Examine(t.Context(), server.URL+"/mcp", Options{Insecure: true}); slices.Contains(ids(r), "certificate") {
		t.Errorf("with Insecure: found %v", ids(r))
	}
}

// What cannot be examined is not called healthy, nor ill.
func TestUnchecked(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String() + "/mcp"
	listener.Close()
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }))
	t.Cleanup(busy.Close)
	for _, target := range []string{nobody, busy.URL, "mcp.example.com/mcp", "ftp://mcp.example.com", "https://", "https://user:password@mcp.example.com/mcp"} {
		r := Examine(t.Context(), target, Options{})
		if r.Outcome != Unchecked || r.Reason == "" || len(r.Findings) != 0 {
			t.Errorf("%s: outcome %s, reason %q, findings %v; want unchecked", target, r.Outcome, r.Reason, ids(r))
		}
		if strings.Contains(r.Reason+r.URL, "password@") {
			t.Errorf("%s: the report has the password: %s %s", target, r.URL, r.Reason)
		}
	}
}

// A client that is configured is examined with what it is configured with.
func TestConfiguredClient(t *testing.T) {
	s := newSite()
	s.clients["ours"] = loopbackRedirect
	s.both("token_endpoint_auth_methods_supported", []string{"none", "client_secret_basic"})
	r := s.examine(t, Options{ClientID: "ours", ClientSecret: "secret-of-ours", Token: goodToken})
	if got := reached(r)["2025-11-25-configured"]; got != Connected || len(r.Findings) != 0 {
		t.Errorf("reached %s, found %v\n%s", got, ids(r), asText(t, r))
	}
	if !slices.ContainsFunc(s.seen, func(header string) bool { return strings.HasPrefix(header, "Basic ") }) {
		t.Error("the secret was not used")
	}
}

// An examination that is broken off takes back what it made, and blames nobody.
func TestBrokenOff(t *testing.T) {
	s := newSite()
	ctx, cancel := context.WithCancel(t.Context())
	s.page("GET as.example.com/authorize", func(http.ResponseWriter, *http.Request, http.Handler) { cancel(); <-ctx.Done() })
	r := s.examineWith(ctx, t, Options{})
	if r.Outcome != Unchecked || len(r.Findings) != 0 {
		t.Errorf("outcome %s, found %v", r.Outcome, ids(r))
	}
	if len(s.clients) == 0 || s.deleted != len(s.clients) {
		t.Errorf("%d clients were registered, %d deleted", len(s.clients), s.deleted)
	}
}

// A host that lets requests time out is not asked all of them.
func TestSilentHost(t *testing.T) {
	w := newWire(&Options{})
	w.silent["127.0.0.1:1"] = maxTimeouts
	if a := w.do(t.Context(), request{method: "GET", url: "http://127.0.0.1:1/"}); !errors.Is(a.err, errSilent) {
		t.Errorf("got %v, want %v", a.err, errSilent)
	}
}
