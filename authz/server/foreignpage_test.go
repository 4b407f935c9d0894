package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// foreignPage is what a browser adds to a request of a web page elsewhere.
var foreignPage = map[string][]string{
	"a fetch":       {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
	"a sandbox":     {"Origin", "null"},
	"an old one":    {"Origin", "https://evil.example"},
	"a sibling":     {"Origin", "https://other.example.com", "Sec-Fetch-Site", "same-site"},
	"an image":      {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"},
	"two pages":     {"Origin", testIssuer, "Origin", "https://evil.example"},
	"a port nearby": {"Origin", testIssuer + ":8443"},
}

// submit posts a form with headers in pairs.
func (ts *testServer) submit(path string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	return ts.send(http.MethodPost, path, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

func TestFromForeignPage(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.AllowedOrigins = []string{"https://app.example"} })
	foreign := func(headers ...string) bool {
		r := httptest.NewRequest(http.MethodPost, testIssuer+TokenPath, nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		return ts.as.cfg.Origins().FromForeignPage(r)
	}
	for name, headers := range foreignPage {
		if !foreign(headers...) {
			t.Errorf("%s is taken for a program or person", name)
		}
	}
	for name, headers := range map[string][]string{
		"a program":           nil,
		"this site":           {"Origin", testIssuer, "Sec-Fetch-Site", "same-origin"},
		"a development tool":  {"Origin", "http://localhost:6274", "Sec-Fetch-Site", "cross-site"},
		"an allowed page":     {"Origin", "https://app.example", "Sec-Fetch-Site", "cross-site"},
		"a person who typed":  {"Sec-Fetch-Site", "none"},
		"a link of this site": {"Sec-Fetch-Site", "same-origin"},
	} {
		if foreign(headers...) {
			t.Errorf("%s is taken for a foreign page", name)
		}
	}
}

// What a web page makes a browser send uses up no limit of the person who
// looks at it, nor of their other programs.
func TestForeignPageLocksNobodyOut_C17(t *testing.T) {
	for page, headers := range foreignPage {
		for name, tc := range map[string]struct {
			send  func(ts *testServer, headers ...string) *httptest.ResponseRecorder
			limit int
		}{
			"registrations": {func(ts *testServer, headers ...string) *httptest.ResponseRecorder {
				return ts.send(http.MethodPost, RegisterPath, publicClient, headers...)
			}, *config.DefaultRegistration().RateLimit},
			"wrong secrets": {func(ts *testServer, headers ...string) *httptest.ResponseRecorder {
				return ts.submit(TokenPath, url.Values{"grant_type": {"authorization_code"}, "client_id": {"post"}, "client_secret": {"wrong"}}, headers...)
			}, authFailuresPerClient},
			"wrong requests": {func(ts *testServer, headers ...string) *httptest.ResponseRecorder {
				return ts.submit(AuthorizePath, request("client_id", "x"), headers...)
			}, rejectedRequestsPerMinute},
		} {
			t.Run(fmt.Sprint(name, " by ", page), func(t *testing.T) {
				ts := newTestServer(t, authConfig)
				ts.stopLimits()
				for n := range 2 * tc.limit {
					if limited := tc.send(ts, headers...).Code == http.StatusTooManyRequests; limited != (n >= tc.limit) {
						t.Fatalf("request %d of the page is limited: %t", n, limited)
					}
				}
				if w := tc.send(ts); w.Code == http.StatusTooManyRequests {
					t.Errorf("the person's own is answered %d", w.Code)
				}
			})
		}
	}
}

// Nor does it use up what the person's own clients may have looked up.
func TestForeignPageStarvesNoLookUp_C17(t *testing.T) {
	ts, h := newDocumentServer(t)
	ts.stopLimits()
	ask := func(id string, headers ...string) int {
		return ts.submit(TokenPath, url.Values{"grant_type": {"authorization_code"}, "client_id": {id}, "code": {"x"}}, headers...).Code
	}
	for n := range 2 * fetchesPerAddress {
		got := ask(fmt.Sprintf("http://127.0.1.%d:1/c", n), foreignPage["a fetch"]...)
		if limited := got == http.StatusTooManyRequests; limited != (n >= fetchesPerAddress) {
			t.Fatalf("look-up %d for the page: %d", n, got)
		}
	}
	if got := ask(h.Publish("/c", goodDocument)); got != http.StatusBadRequest { // invalid_grant: the client is known
		t.Errorf("the person's own client: %d", got)
	}
}

// The holder of a registration can change it whatever others do at the address.
func TestRegistrationUpdateIsNotLockedOut_C17(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.RateLimit = new(3) })
	ts.stopLimits()
	reg := ts.register(publicClient)
	for range 10 {
		ts.send(http.MethodPost, RegisterPath, publicClient)
	}
	change := func() *httptest.ResponseRecorder {
		body := strings.Replace(publicClient, "{", `{"client_id":"`+reg.ID+`",`, 1)
		return ts.send(http.MethodPut, reg.path(), body, "Authorization", "Bearer "+reg.Token)
	}
	for n := range 5 {
		w := change()
		if want := n >= 3; (w.Code == http.StatusTooManyRequests) != want {
			t.Fatalf("change %d: %d %s", n, w.Code, w.Body)
		}
		if w.Code == http.StatusOK {
			reg.Token = ts.registered(w, http.StatusOK).Token
		}
	}
}

// Two sites of a process have limits of their own, also for a client of the
// same name.
func TestLimitsAreOfOneSite(t *testing.T) {
	ts := newTestServer(t, authConfig, func(c *siteConfig) { c.Registration.RateLimit = new(1) })
	ts.stopLimits()
	ts.register(publicClient)
	for range 2 * authFailuresPerClient {
		_, _ = ts.authenticate("192.0.2.1", nil, "client_id", "post", "client_secret", "wrong")
	}
	ts.reload(func(c *siteConfig) { c.Issuer = "https://other.example" })
	ts.register(publicClient)
	if _, err := ts.authenticate("192.0.2.1", nil, "client_id", "post", "client_secret", "wrong"); oauth.AsError(err).Status != http.StatusUnauthorized {
		t.Errorf("at the other site: %v", err)
	}
}
