package consent

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

const testKey = "vk-3f2b9a-canary"

// Paths of the forms of a flow.
const (
	keyPath       = flowFormsPath + "vk"
	userIDPath    = flowFormsPath + "user-id"
	anonymousPath = flowFormsPath + "skip"
	caddyPath     = flowFormsPath + "caddy"
)

// site is a site with one browser, in which the request of a client waits. Its
// tests write "sealed" for the flow_id, "flow-1" for the flow's ID, "csrf-1" for
// the token of its forms and a cookie flow=browser-1 for its own; "csrf-b" for
// the token of forms outside of flows; and "ticket" for that of the link.
type site struct {
	*walk
	broker *fakeBroker // nil if there is nothing to connect
	pages  *Consent
	offers *catalog.Catalog
	asker  *fakeAsker
	store  *storetest.Faulty
	logs   *observer.ObservedLogs
	user   string // of another handler

	flowID  string
	flow    *http.Cookie
	csrf    string // of the flow's forms
	session string // the secret of the browser
	ticket  string
}

func newSite(t *testing.T, change ...func(*config.Site)) *site {
	t.Helper()
	return newSiteWith(t, nil, change...)
}

// newSiteWith serves a site where people connect what the broker knows.
func newSiteWith(t *testing.T, b *fakeBroker, change ...func(*config.Site)) *site {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	s := &site{broker: b, store: storetest.NewFaulty(memstore.New()), logs: logs}
	var deps Deps
	s.walk, deps = newServer(t, s.store, zap.New(core), func(c *config.Site) {
		for _, f := range change {
			f(c)
		}
		if b != nil {
			connectBy(c, b.servers)
		}
	})
	s.offers, s.asker = deps.Catalog, deps.Asker.(*fakeAsker)
	if s.pages = newConsent(deps, nil); b != nil {
		s.pages = newConsent(deps, b)
	}
	s.serve(s.pages)
	s.asks(registered("Cursor", "https://app.example/cb", "authorization_code"), nil)
	s.openSession()
	return s
}

// logged returns the cause that the log has under a reference at its default level.
func (s *site) logged(reference string) string {
	for _, entry := range s.logs.All() {
		if fields := entry.ContextMap(); fields["correlation_id"] == reference && entry.Level >= zap.InfoLevel {
			cause, _ := fields["error"].(string)
			return cause
		}
	}
	return ""
}

// registered is what a client registers.
func registered(name, redirectURI string, grantTypes ...string) map[string]any {
	return map[string]any{
		"client_name": name, "redirect_uris": []string{redirectURI}, "grant_types": grantTypes, "token_endpoint_auth_method": "none",
	}
}

// asks registers a client, and begins the flow that it asks for.
func (s *site) asks(client map[string]any, parameters url.Values) {
	s.t.Helper()
	body, err := json.Marshal(client)
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, server.RegisterPath, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	var registration struct {
		ClientID     string   `json:"client_id"`
		RedirectURIs []string `json:"redirect_uris"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &registration); err != nil || w.Code != http.StatusCreated {
		s.t.Fatalf("registration: %d %s", w.Code, w.Body)
	}
	query := url.Values{
		"response_type": {"code"}, "client_id": {registration.ClientID}, "state": {"s"}, "redirect_uri": registration.RedirectURIs[:1],
		"scope":          {"mcp:use pages:write"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	for name, values := range parameters {
		query[name] = values
	}
	w = httptest.NewRecorder()
	s.mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, server.AuthorizePath+"?"+query.Encode(), nil))
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusFound {
		s.t.Fatalf("authorize: %d %s", w.Code, shows(w))
	}
	s.flowID, s.flow = to.Query().Get("flow_id"), w.Result().Cookies()[0]
	s.csrf = s.mustOpenFlow().CSRFToken
}

// do sends a request with what the site means by the words of the tests, and
// writes the answer in them.
func (s *site) do(r *http.Request) *httptest.ResponseRecorder {
	s.t.Helper()
	words := []string{"flow_id=sealed", "flow_id=" + s.flowID, "csrf_token=csrf-1", "csrf_token=" + s.csrf, "csrf_token=csrf-b", "csrf_token=" + s.openSession().CSRFToken}
	if s.ticket != "" {
		words = append(words, "ticket=ticket", "ticket="+s.ticket, server.ConnectPath+"ticket", server.ConnectPath+s.ticket)
	}
	meant := strings.NewReplacer(words...)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Body = io.NopCloser(strings.NewReader(meant.Replace(string(body))))
	r.URL.RawQuery, r.URL.Path = meant.Replace(r.URL.RawQuery), meant.Replace(r.URL.Path)
	cookies := r.Cookies()
	r.Header.Del("Cookie")
	for _, c := range append(cookies, s.sessionCookie()) {
		if c.Name == "flow" {
			if c.Name = s.flow.Name; c.Value == "browser-1" {
				c.Value = s.flow.Value
			}
		}
		r.AddCookie(c)
	}
	if s.user != "" {
		r = r.WithContext(identity.WithUser(r.Context(), s.user))
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	s.keepSession(w)
	w.Body = bytes.NewBufferString(s.written(w.Body.String()))
	if to := w.Header().Get("Location"); to != "" {
		w.Header().Set("Location", s.written(to))
	}
	return w
}

// written returns a text in the words of the tests.
func (s *site) written(text string) string {
	if s.ticket != "" {
		text = strings.ReplaceAll(text, s.ticket, "ticket")
	}
	return strings.ReplaceAll(text, s.flowID, "sealed")
}

func (s *site) get(target string) *httptest.ResponseRecorder { return s.do(getRequest(target)) }

// post sends a form as our page would.
func (s *site) post(path string, more ...string) *httptest.ResponseRecorder {
	return s.do(postRequest(path, more...))
}

func getRequest(target string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.AddCookie(&http.Cookie{Name: "flow", Value: "browser-1"})
	return r
}

// postRequest returns a good form, with name and value pairs that replace or add.
func postRequest(path string, more ...string) *http.Request {
	form := url.Values{"flow_id": {"sealed"}, "csrf_token": {"csrf-1"}}
	for i := 0; i < len(more); i += 2 {
		form[more[i]] = append([]string(nil), more[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(&http.Cookie{Name: "flow", Value: "browser-1"})
	return r
}

var hiddenIdentity = regexp.MustCompile(`name="identity" value="([^"]+)"`)

// shownIdentity returns what a page's form says of whom it showed.
func shownIdentity(t *testing.T, page string) string {
	t.Helper()
	found := hiddenIdentity.FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("no identity on the page:\n%s", page)
	}
	return found[1]
}

func userIdentity(user string) storage.Identity {
	id, _ := identity.FromContext(identity.WithUser(context.Background(), user))
	return id
}

func alice() storage.Identity {
	return storage.Identity{Kind: "user_id", Subject: "user_id:alice", Name: "alice"}
}
