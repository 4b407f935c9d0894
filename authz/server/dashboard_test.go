package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/dashboard"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	dashboardOrigin = "https://dash.example.com"
	dashboardPage   = dashboardOrigin + "/oauth/authorize"
)

// dashboardRecheck is how long a grant of dashboardSite is good without its person.
const dashboardRecheck = 2 * time.Hour

// dashboardSite is a server with a dashboard.
type dashboardSite struct {
	*testServer
	dashboard *oauthtest.Dashboard
}

func newDashboardSite(t testing.TB, consent string, rules ...string) *dashboardSite {
	t.Helper()
	allow, err := identity.ParseRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	d := oauthtest.NewDashboard(t, dashboardOrigin, "mcp")
	ts := newTestServer(t, func(c *siteConfig) {
		c.Identities = []config.Identity{{Kind: identity.Dashboard, Dashboard: &config.Dashboard{
			AuthorizeURL: dashboardPage, Issuer: d.Issuer, Audience: d.Audience, Consent: consent,
			Trust: dashboard.Trust{Issuer: d.Issuer, Audience: d.Audience, Keys: d.Keys(), Claims: []string{"email", "groups"}},
		}}}
		c.SignIn = identity.Methods{identity.ByDashboard(identity.AtDashboard{AuthorizeURL: dashboardPage, Issuer: d.Issuer, Allow: allow, Recheck: dashboardRecheck}), identity.ByVirtualKey(nil)}
		c.Scopes = []config.Scope{{Name: "mcp:use", Description: "Use it"}}
	})
	ts.replace(func(deps *Deps) {
		deps.Operator = egress.New(egress.Options{Anywhere: true})
		deps.Logins = &identity.Logins{Issuer: testIssuer, Store: ts.store, Keys: deps.Keys, Now: ts.clock.Now}
	})
	d.Now = ts.clock.Now
	return &dashboardSite{ts, d}
}

// says sends JSON as the dashboard does.
func (ds *dashboardSite) says(path, token, body string) *httptest.ResponseRecorder {
	ds.t.Helper()
	r := httptest.NewRequest(http.MethodPost, testIssuer+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return ds.serve(r)
}

func (ds *dashboardSite) token(changes map[string]any) string {
	ds.t.Helper()
	all := map[string]any{"email": "jane@acme.com"}
	maps.Copy(all, changes)
	return ds.dashboard.Token(ds.t, "user-1", all)
}

// members returns a request as the dashboard sends it: changed parameters come in
// pairs.
func members(changes ...any) string {
	all := map[string]any{}
	for name, values := range request() {
		all[name] = values[0]
	}
	for i := 0; i < len(changes); i += 2 {
		all[changes[i].(string)] = changes[i+1]
		if changes[i+1] == "-" {
			delete(all, changes[i].(string))
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

type dashboardAnswer struct {
	Code, State, Iss string
	RedirectURI      string `json:"redirect_uri"`
	RedirectTo       string `json:"redirect_to"`
}

// approves returns what the dashboard is told when a person agreed.
func (ds *dashboardSite) approves(body string) dashboardAnswer {
	ds.t.Helper()
	w := ds.says(dashboardAuthorizePath, ds.token(nil), body)
	var a dashboardAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != http.StatusOK {
		ds.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return a
}

func TestApprovedAtDashboard(t *testing.T) {
	ds := newDashboardSite(t, config.ConsentThere)
	a := ds.approves(members())
	want := dashboardAnswer{a.Code, "xyz", testIssuer, testRedirect, testRedirect + "?" + url.Values{"code": {a.Code}, "state": {"xyz"}, "iss": {testIssuer}}.Encode()}
	if a != want || a.Code == "" {
		t.Errorf("got %+v, want %+v", a, want)
	}
	tokens := ds.redeem("app", a.Code)
	ds.want(tokens, http.StatusOK, "")
	if !ds.live(tokens.Access) || tokens.Scope != "mcp:use" || tokens.Refresh == "" {
		t.Errorf("tokens %+v", tokens)
	}
	list, err := ds.as.Grants.List(t.Context(), "dashboard:user-1")
	if err != nil || len(list) != 1 || list[0].Identity.Name != "jane@acme.com" || list[0].ClientID != "app" || !slices.Equal(list[0].Resources, []string{notionResource}) {
		t.Errorf("grants %+v, %v", list, err)
	}
	if c := list[0].Identity.Claims; c == nil || c.Email != "jane@acme.com" {
		t.Errorf("claims %+v", c)
	}
	ds.want(ds.redeem("app", a.Code), http.StatusBadRequest, "invalid_grant") // a replay
	if ds.live(tokens.Access) {
		t.Error("the tokens survive a replay of their code")
	}
}

// A code that a dashboard was given is worth as much as another: it is the client's
// alone, at its redirect URI, with its verifier, for ten minutes.
func TestCodeFromDashboard_B04_B10_B11_B12(t *testing.T) {
	for name, tt := range map[string]struct {
		client  string
		changes []string
		later   time.Duration
		error   string
	}{
		"in time":              {"app", nil, 10*time.Minute - time.Second, ""},
		"late":                 {"app", nil, 10 * time.Minute, "invalid_grant"},
		"by another client":    {"foreign", nil, 0, "invalid_grant"},
		"another redirect URI": {"app", []string{"redirect_uri", "https://app.example/other?keep=1"}, 0, "invalid_grant"},
		"another verifier":     {"app", []string{"code_verifier", strings.Repeat("w", 43)}, 0, "invalid_grant"},
		"without verifier":     {"app", []string{"code_verifier", "-"}, 0, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			ds := newDashboardSite(t, config.ConsentThere)
			a := ds.approves(members())
			ds.clock.Advance(tt.later)
			status := http.StatusOK
			if tt.error != "" {
				status = http.StatusBadRequest
			}
			ds.want(ds.redeem(tt.client, a.Code, tt.changes...), status, tt.error)
		})
	}
}

// What a dashboard asks for is checked as what a browser asks for. Its errors say
// so in three ways, and one line of the log has the same reference.
func TestRefusedAtDashboard_A01_A11_A13_B01_B02_B03(t *testing.T) {
	for name, tt := range map[string]struct {
		body   string
		status int
		error  string
	}{
		"unknown client":             {members("client_id", "nobody"), 400, "invalid_client"},
		"no client":                  {members("client_id", "-"), 400, "invalid_request"},
		"foreign redirect URI":       {members("redirect_uri", "https://evil.example/cb"), 400, "invalid_request"},
		"no redirect URI of several": {members("redirect_uri", "-"), 400, "invalid_request"},
		"no PKCE":                    {members("code_challenge", "-", "code_challenge_method", "-"), 400, "invalid_request"},
		"plain PKCE":                 {members("code_challenge_method", "plain"), 400, "invalid_request"},
		"no method":                  {members("code_challenge_method", "-"), 400, "invalid_request"},
		"short challenge":            {members("code_challenge", "abc"), 400, "invalid_request"},
		"token":                      {members("response_type", "token"), 400, "unsupported_response_type"},
		"no response type":           {members("response_type", "-"), 400, "invalid_request"},
		"request object":             {members("request", "x"), 400, "request_not_supported"},
		"unknown resource":           {members("resource", "https://evil.example/mcp"), 400, "invalid_target"},
		"malformed scope":            {members("scope", "a\"b"), 400, "invalid_scope"},
		"control character":          {members("scope", "mcp:use\r\nx"), 400, "invalid_request"},
		"no server named, several":   {members("resource", "-"), 400, "invalid_target"},
		"approved more":              {members("approved_resources", []string{mainResource}), 400, "invalid_request"},
		"approved nothing known":     {members("approved_resources", []string{"https://evil.example/mcp"}), 400, "invalid_request"},
		"neither allow nor deny":     {members("decision", "maybe"), 400, "invalid_request"},
		"client_id is a number":      {members("client_id", 1), 400, "invalid_request"},
		"client_id is a list":        {members("client_id", []string{"app"}), 400, "invalid_request"},
		"resource is an object":      {members("resource", map[string]string{}), 400, "invalid_request"},
		"client_id twice":            {`{"client_id":"app",` + members()[1:], 400, "invalid_request"},
		"CLIENT_ID too":              {`{"CLIENT_ID":"app",` + members()[1:], 400, "invalid_request"},
		"a list":                     {`[]`, 400, "invalid_request"},
		"no JSON":                    {`client_id=app`, 400, "invalid_request"},
		"two documents":              {members() + members(), 400, "invalid_request"},
		"empty":                      {``, 400, "invalid_request"},
		"too large":                  {members("state", strings.Repeat("x", maxDashboardBody)), 413, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			ds := newDashboardSite(t, config.ConsentThere)
			ds.refuses(ds.says(dashboardAuthorizePath, ds.token(nil), tt.body), tt.status, tt.error, zapcore.InfoLevel)
			if list, err := ds.as.Grants.List(t.Context(), "dashboard:user-1"); err != nil || len(list) > 0 {
				t.Errorf("grants %+v, %v", list, err)
			}
		})
	}
}

// refuses checks an answer, and that one line of the log says why.
func (ds *dashboardSite) refuses(w *httptest.ResponseRecorder, status int, code string, level zapcore.Level) {
	ds.t.Helper()
	var e struct {
		Error         string `json:"error"`
		Description   string `json:"error_description"`
		Detail        string `json:"detail"`
		CorrelationID string `json:"correlation_id"`
		Code          string `json:"code"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		ds.t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w.Code != status || e.Error != code || e.Description == "" || e.Detail != e.Description || e.Code != "" || w.Header().Get("Cache-Control") != "no-store" {
		ds.t.Errorf("got %d %s, want %d %s", w.Code, w.Body, status, code)
	}
	if logged := ds.logs.FilterField(zapCorrelation(e.CorrelationID)).FilterField(zap.String("provider", dashboardOrigin)); logged.Len() == 0 || logged.All()[0].Level != level {
		ds.t.Errorf("logged %+v", ds.logs.All())
	}
}

// Without a good token of the dashboard nothing is answered, in any of its
// endpoints; what was wrong with it, the log says alone.
func TestTokenAtDashboardEndpoints_J03_J04_J06(t *testing.T) {
	for name, tt := range map[string]struct {
		token func(ds *dashboardSite) string
		error string
	}{
		"none":      {func(*dashboardSite) string { return "" }, "invalid_request"},
		"garbage":   {func(*dashboardSite) string { return "garbage" }, "invalid_token"},
		"wrong aud": {func(ds *dashboardSite) string { return ds.token(map[string]any{"aud": "other"}) }, "invalid_token"},
		"wrong iss": {func(ds *dashboardSite) string { return ds.token(map[string]any{"iss": testIssuer}) }, "invalid_token"},
		"expired":   {func(ds *dashboardSite) string { return ds.token(map[string]any{"exp": 1}) }, "invalid_token"},
		"no exp":    {func(ds *dashboardSite) string { return ds.token(map[string]any{"exp": nil}) }, "invalid_token"},
		"no sub":    {func(ds *dashboardSite) string { return ds.token(map[string]any{"sub": nil}) }, "invalid_token"},
		"another key": {func(ds *dashboardSite) string {
			return oauthtest.NewDashboard(ds.t, dashboardOrigin, "mcp").Token(ds.t, "user-1", nil)
		}, "invalid_token"},
		"at+jwt":          {func(ds *dashboardSite) string { return ds.dashboard.TokenOfType(ds.t, "at+jwt", "user-1", nil) }, "invalid_token"},
		"a virtual key":   {func(*dashboardSite) string { return "team key" }, "invalid_request"},
		"an access token": {func(ds *dashboardSite) string { return ds.redeem("app", ds.approves(members()).Code).Access }, "invalid_token"},
	} {
		t.Run(name, func(t *testing.T) {
			ds := newDashboardSite(t, config.ConsentThere)
			token := tt.token(ds)
			for _, path := range []string{dashboardAuthorizePath, dashboardLoginPath} {
				w := ds.says(path, token, members())
				ds.refuses(w, http.StatusUnauthorized, tt.error, zapcore.InfoLevel)
				if !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") || len(token) > 10 && strings.Contains(fmt.Sprint(ds.logs.All()), token) {
					t.Errorf("header %v, logged %v", w.Header(), ds.logs.All())
				}
			}
			w := ds.asks(request().Encode(), token)
			ds.refuses(w, http.StatusUnauthorized, tt.error, zapcore.InfoLevel)
		})
	}
}

// Many wrong tokens are not looked into any more; a right one is, from the same
// address, until its person was vouched for very often.
func TestManyTokensAtDashboardEndpoints_C17(t *testing.T) {
	ds := newDashboardSite(t, config.ConsentThere)
	for range wrongSecretsPerAddress {
		ds.refuses(ds.says(dashboardAuthorizePath, "wrong", members()), http.StatusUnauthorized, "invalid_token", zapcore.InfoLevel)
	}
	ds.refuses(ds.says(dashboardAuthorizePath, "wrong", members()), http.StatusTooManyRequests, "temporarily_unavailable", zapcore.InfoLevel)
	for range perPersonAtDashboard {
		ds.approves(members())
	}
	w := ds.says(dashboardAuthorizePath, ds.token(nil), members())
	ds.refuses(w, http.StatusTooManyRequests, "temporarily_unavailable", zapcore.InfoLevel)
	if w.Header().Get("Retry-After") == "" {
		t.Error("nothing says when to come again")
	}
	if w := ds.says(dashboardAuthorizePath, ds.dashboard.Token(t, "user-2", nil), members()); w.Code != http.StatusOK {
		t.Errorf("somebody else: %d %s", w.Code, w.Body)
	}
}

// Somebody who may not sign in leaves a record each time, too.
func TestManyTokensOfSomebodyWhoMayNotSignIn_C17(t *testing.T) {
	ds := newDashboardSite(t, config.ConsentThere, "group:staff")
	for range perPersonAtDashboard {
		ds.refuses(ds.says(dashboardAuthorizePath, ds.token(nil), members()), http.StatusForbidden, "access_denied", zapcore.InfoLevel)
	}
	ds.refuses(ds.says(dashboardAuthorizePath, ds.token(nil), members()), http.StatusTooManyRequests, "temporarily_unavailable", zapcore.InfoLevel)
}

func TestDeniedAtDashboard(t *testing.T) {
	ds := newDashboardSite(t, config.ConsentThere)
	a := ds.approves(members("decision", "deny"))
	if want := testRedirect + "?" + (url.Values{"error": {"access_denied"}, "state": {"xyz"}, "iss": {testIssuer}}).Encode(); a.RedirectTo != want || a.Code != "" {
		t.Errorf("got %+v, want %s", a, want)
	}
	if list, err := ds.as.Grants.List(t.Context(), "dashboard:user-1"); err != nil || len(list) > 0 {
		t.Errorf("grants %+v, %v", list, err)
	}
}

// A client that names no server gets what the person chose at the dashboard.
func TestServersChosenAtDashboard(t *testing.T) {
	for name, tt := range map[string]struct {
		changes []any
		want    []string
	}{
		"one of several":     {[]any{"resource", "-", "approved_resources", mainResource}, []string{mainResource}},
		"all":                {[]any{"resource", "-", "approved_resources", []string{notionResource, mainResource}}, []string{notionResource, mainResource}},
		"named by the app":   {[]any{"resource", []string{notionResource, mainResource}}, []string{notionResource, mainResource}},
		"part of what named": {[]any{"resource", []string{notionResource, mainResource}, "approved_resources", []string{mainResource}}, []string{mainResource}},
		"empty list":         {[]any{"approved_resources", []string{}}, []string{notionResource}},
	} {
		t.Run(name, func(t *testing.T) {
			ds := newDashboardSite(t, config.ConsentThere)
			ds.approves(members(tt.changes...))
			list, err := ds.as.Grants.List(t.Context(), "dashboard:user-1")
			if err != nil || len(list) != 1 || !slices.Equal(list[0].Resources, tt.want) {
				t.Errorf("grants %+v, %v; want %v", list, err, tt.want)
			}
		})
	}
}

// asks asks what a request is about.
func (ds *dashboardSite) asks(query, token string) *httptest.ResponseRecorder {
	ds.t.Helper()
	r := httptest.NewRequest(http.MethodGet, testIssuer+dashboardRequestPath+"?"+query, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return ds.serve(r)
}

func TestDescribedToDashboard(t *testing.T) {
	ds := newDashboardSite(t, config.ConsentThere)
	w := ds.asks(request("resource", "-").Encode(), ds.token(nil))
	want := `{"client":{"client_id":"app","client_name":"app","verified_by":"operator"},"redirect":{"uri":"https://app.example/cb","kind":"web","host":"app.example"},` +
		`"servers":[{"id":"notion","title":"Notion","resource":"https://mcp.example.com/mcp/notion","scopes":[{"name":"mcp:use","description":"Use it"}]},` +
		`{"id":"main","title":"Main","resource":"https://mcp.example.com/mcp","scopes":[{"name":"mcp:use","description":"Use it"}]}],` +
		`"choose_servers":true,"scope":"mcp:use","person":{"subject":"dashboard:user-1","name":"jane@acme.com"}}`
	if w.Code != http.StatusOK || w.Body.String() != want || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d\n%s, want\n%s", w.Code, w.Body, want)
	}
	for name, tt := range map[string]struct {
		changes []string
		error   string
	}{
		"foreign redirect URI": {[]string{"redirect_uri", "https://evil.example/cb"}, "invalid_request"},
		"plain PKCE":           {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"unknown client":       {[]string{"client_id", "nobody"}, "invalid_client"},
	} {
		ds.t.Log(name)
		ds.refuses(ds.asks(request(tt.changes...).Encode(), ds.token(nil)), http.StatusBadRequest, tt.error, zapcore.InfoLevel)
	}
	for redirect, want := range map[string]string{
		"http://127.0.0.1:53211/cb":    `"redirect":{"uri":"http://127.0.0.1:53211/cb","kind":"loopback","host":"127.0.0.1:53211"}`,
		"cursor://anysphere.cursor/cb": `"redirect":{"uri":"cursor://anysphere.cursor/cb","kind":"app"}`,
	} {
		client := map[bool]string{true: "native", false: "editor"}[strings.HasPrefix(redirect, "http")]
		if w := ds.asks(request("client_id", client, "redirect_uri", redirect).Encode(), ds.token(nil)); !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %s", redirect, w.Body)
		}
	}
}

// Pages of the dashboard may read the answers of its endpoints, those of no other
// origin, and none with cookies.
func TestCORSOfDashboardEndpoints_AS40(t *testing.T) {
	ds := newDashboardSite(t, config.ConsentThere)
	for _, path := range []string{dashboardAuthorizePath, dashboardLoginPath, dashboardRequestPath} {
		method := map[bool]string{true: http.MethodGet, false: http.MethodPost}[path == dashboardRequestPath]
		for origin, allowed := range map[string]bool{
			dashboardOrigin: true, "https://evil.example": false, "null": false, "https://dash.example.com:8443": false,
			"http://dash.example.com": false, "https://DASH.example.com": false, "https://dash.example.com.evil.example": false, testIssuer: false, "": false,
		} {
			for _, m := range []string{http.MethodOptions, method} {
				r := httptest.NewRequest(m, testIssuer+path, nil)
				r.Header.Set("Origin", origin)
				r.Header.Set("Access-Control-Request-Method", method)
				r.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
				w := ds.serve(r)
				h := w.Header()
				want := ""
				if allowed {
					want = dashboardOrigin
				}
				if h.Get("Access-Control-Allow-Origin") != want || h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Vary") != "Origin" {
					t.Errorf("%s %s from %q: %v", m, path, origin, h)
				}
				if m == http.MethodOptions && (w.Code != http.StatusNoContent || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") || !strings.Contains(h.Get("Access-Control-Allow-Methods"), method)) {
					t.Errorf("preflight of %s: %d %v", path, w.Code, h)
				}
			}
		}
	}
}

// Metadata, and our own authorization endpoint, lead to the dashboard if people
// approve there: with all that the client wrote, once that is in order.
func TestClientsAreSentToDashboard(t *testing.T) {
	for consent, want := range map[string]string{config.ConsentThere: dashboardPage, config.ConsentHere: testIssuer + AuthorizePath} {
		ds := newDashboardSite(t, consent)
		w := ds.serve(httptest.NewRequest(http.MethodGet, testIssuer+oauth.AuthorizationServerPath, nil))
		var d oauth.ServerDocument
		if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || d.AuthorizationEndpoint != want || d.TokenEndpoint != testIssuer+TokenPath || d.RegistrationEndpoint != testIssuer+RegisterPath || d.Issuer != testIssuer {
			t.Errorf("consent %s: %+v, %v", consent, d, err)
		}
		for _, path := range []string{AuthorizePath, "/authorize", dashboardAuthorizePath} {
			r := httptest.NewRequest(http.MethodGet, testIssuer+path+"?"+request("nonce", "n").Encode(), nil)
			w := ds.serve(r)
			sent, err := url.Parse(w.Header().Get("Location"))
			if err != nil || w.Code != http.StatusFound {
				t.Fatalf("%s: %d %v", path, w.Code, w.Header())
			}
			if consent == config.ConsentThere && (!strings.HasPrefix(sent.String(), dashboardPage+"?") || sent.Query().Encode() != request("nonce", "n").Encode()) || consent == config.ConsentHere && sent.Path != ConsentPath {
				t.Errorf("consent %s: %s leads to %s", consent, path, sent)
			}
			r = httptest.NewRequest(http.MethodGet, testIssuer+path+"?"+request("redirect_uri", "https://evil.example/").Encode(), nil)
			if w := ds.serve(r); w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
				t.Errorf("consent %s: a wrong request to %s: %d %v", consent, path, w.Code, w.Header())
			}
		}
	}
}

// With consent here a dashboard can sign people in, and approve nothing for them.
func TestNothingIsApprovedAtDashboardWithConsentHere(t *testing.T) {
	ds := newDashboardSite(t, config.ConsentHere)
	if w := ds.says(dashboardAuthorizePath, ds.token(nil), members()); w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), `"code"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if ds.routes[dashboardRequestPath] != nil {
		t.Error("requests are described")
	}
}

// A dashboard says once who the person of a login is.
func TestVouchedByDashboard(t *testing.T) {
	ds := newDashboardSite(t, config.ConsentHere)
	login := oauth.NewSecret("")
	w := ds.says(dashboardLoginPath, ds.token(nil), `{"login":"`+login+`"}`)
	var a dashboardAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	back, err := url.Parse(a.RedirectTo)
	if err != nil || back.Scheme+"://"+back.Host+back.Path != testIssuer+"/oauth/login/callback/dashboard" || back.Query().Get("state") != login || len(back.Query().Get("code")) < 43 {
		t.Errorf("redirect_to %s", a.RedirectTo)
	}
	ds.refuses(ds.says(dashboardLoginPath, ds.token(nil), `{"login":"`+login+`"}`), http.StatusConflict, "invalid_request", zapcore.InfoLevel)
	for _, body := range []string{`{}`, `{"login":""}`, `{"login":"x"}`, `{"login":"` + login + `x"}`, `{"login":1}`, `[]`} {
		ds.refuses(ds.says(dashboardLoginPath, ds.token(nil), body), http.StatusBadRequest, "invalid_request", zapcore.InfoLevel)
	}
}

// The endpoints that such clients know are the same as those of metadata.
func TestAliasesOfDashboardClients(t *testing.T) {
	ds := newDashboardSite(t, config.ConsentThere)
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/api/oauth/register", strings.NewReader(publicClient))
	r.Header.Set("Content-Type", "application/json")
	if w := ds.serve(r); w.Code != http.StatusCreated {
		t.Errorf("register: %d %s", w.Code, w.Body)
	}
	ds.want(ds.post("/api/oauth/token", "app", redemption(ds.approves(members()).Code)), http.StatusOK, "")
}

// Rules choose people by what the dashboard says of them. What it says last counts,
// also for what they approved before.
func TestPeopleOfDashboardAreChosen(t *testing.T) {
	ds := newDashboardSite(t, config.ConsentThere, "group:staff")
	approve := func(groups ...string) *httptest.ResponseRecorder {
		return ds.says(dashboardAuthorizePath, ds.token(map[string]any{"groups": groups}), members())
	}
	ds.refuses(approve("guests"), http.StatusForbidden, "access_denied", zapcore.InfoLevel)
	var a dashboardAnswer
	if w := approve("staff"); w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &a) != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	tokens := ds.redeem("app", a.Code)
	valid := func() bool {
		t.Helper()
		ds.clock.Advance(10 * time.Second) // longer than the cache remembers
		return ds.post(introspectPath, "inspector", url.Values{"token": {tokens.Access}}).Active
	}
	if !valid() {
		t.Fatalf("the tokens of somebody who is allowed: %+v", tokens)
	}
	ds.refuses(approve("guests"), http.StatusForbidden, "access_denied", zapcore.InfoLevel)
	if valid() {
		t.Error("tokens are good of somebody who lost the group")
	}
	ds.want(ds.refresh("app", tokens.Refresh), http.StatusBadRequest, "invalid_grant")
}

// What somebody approved ends unless the dashboard vouches for them again in time.
func TestDashboardVouchesAgain(t *testing.T) {
	for name, again := range map[string]bool{"in time": true, "not": false} {
		t.Run(name, func(t *testing.T) {
			ds := newDashboardSite(t, config.ConsentThere)
			tokens := ds.redeem("app", ds.approves(members()).Code)
			ds.clock.Advance(dashboardRecheck - time.Minute)
			if again {
				ds.approves(members())
			}
			ds.clock.Advance(2 * time.Minute)
			status, code := http.StatusBadRequest, "invalid_grant"
			if again {
				status, code = http.StatusOK, ""
			}
			ds.want(ds.refresh("app", tokens.Refresh), status, code)
		})
	}
}

// accountsOf are the servers that everybody has connected.
type accountsOf []string

func (a accountsOf) Connected(context.Context, string) ([]string, error) { return a, nil }

func (accountsOf) Adopt(context.Context, string, string) ([]storage.ConnectionReplacement, error) {
	return nil, nil
}

func (accountsOf) Adopted([]storage.ConnectionReplacement) {}

// Nothing is approved that is of no use without an account that the person lacks;
// the description of the request says where they connect it.
func TestAccountsAtDashboard(t *testing.T) {
	for name, tt := range map[string]struct {
		optional  bool
		connected accountsOf
		error     string
		account   string
	}{
		"required":            {false, nil, "interaction_required", `"account":{"required":true,"connected":false,"connect_url":"https://mcp.example.com/oauth/account?focus=notion"}`},
		"required, connected": {false, accountsOf{"notion"}, "", `"account":{"required":true,"connected":true,`},
		"optional":            {true, nil, "", `"account":{"required":false,"connected":false,`},
	} {
		t.Run(name, func(t *testing.T) {
			ds := newDashboardSite(t, config.ConsentThere)
			ds.replace(func(d *Deps) { d.Connections = tt.connected })
			notion := ds.as.cfg.Server("notion")
			notion.Auth = &config.Auth{Mode: config.PerUserOAuth, Optional: tt.optional}
			t.Cleanup(func() { notion.Auth = nil })
			if w := ds.asks(request().Encode(), ds.token(nil)); !strings.Contains(w.Body.String(), tt.account) {
				t.Errorf("described as %s", w.Body)
			}
			w := ds.says(dashboardAuthorizePath, ds.token(nil), members())
			if tt.error == "" {
				if w.Code != http.StatusOK {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				return
			}
			ds.refuses(w, http.StatusForbidden, tt.error, zapcore.InfoLevel)
		})
	}
}
