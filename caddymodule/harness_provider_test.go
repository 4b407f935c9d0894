package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// canary is what an upstream must not be able to tell a client.
const canary = "canary-of-the-upstream"

// lab is an MCP server that tells whose token it saw, and its provider. A
// browser says there whose account it is signed in to, in the header X-Account.
type lab struct {
	*httptest.Server // the MCP server
	provider         *httptest.Server

	mu        sync.Mutex
	issued    int
	access    map[string]string // token to account
	refresh   map[string]string
	spent     map[string]bool // refresh tokens
	twice     []string        // refresh tokens that came once more
	codes     map[string]string
	scopes    map[string]string // token to scope
	seen      []string          // accounts of calls, "" for none
	refreshes int
	revoked   []string
	refuse    bool   // the provider refuses to refresh
	decline   bool   // people decline at the provider
	need      string // scope that calls need
	unnamed   bool   // the MCP server does not say which
	noRefresh bool   // the provider gives no refresh tokens
	reject    string // calls with this in their body are answered 401
	answer    http.HandlerFunc
	lifetime  int           // of access tokens, in seconds
	gate      chan struct{} // refreshes wait until it is closed

	// watch sees each request to the MCP server first, with its token.
	watch func(r *http.Request, token string)
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{access: map[string]string{}, refresh: map[string]string{}, spent: map[string]bool{}, codes: map[string]string{}, scopes: map[string]string{}, lifetime: 3600}
	l.Server = httptest.NewServer(http.HandlerFunc(l.serveMCP))
	l.provider = httptest.NewServer(http.HandlerFunc(l.serveProvider))
	t.Cleanup(l.Server.Close)
	t.Cleanup(l.provider.Close)
	return l
}

func (l *lab) serveMCP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/.well-known/oauth-protected-resource") {
		writeTestJSON(w, map[string]any{
			"resource": l.URL + "/mcp", "authorization_servers": []string{l.provider.URL}, "scopes_supported": []string{"read"},
		})
		return
	}
	body, _ := io.ReadAll(r.Body)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if l.watch != nil {
		l.watch(r, token)
	}
	l.mu.Lock()
	account := l.access[token]
	l.seen = append(l.seen, account)
	lacks := l.need != "" && account != "" && !slices.Contains(strings.Fields(l.scopes[token]), l.need)
	answer, named := l.answer, !l.unnamed
	rejected := l.reject != "" && strings.Contains(string(body), l.reject)
	l.mu.Unlock()
	w.Header().Set("Set-Cookie", "a="+canary)
	metadata := `Bearer resource_metadata="` + l.URL + `/.well-known/oauth-protected-resource/mcp"`
	switch {
	case account == "" || rejected:
		w.Header().Set("WWW-Authenticate", metadata+`, error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, canary+token)
		return
	case lacks:
		challenge := metadata + `, error="insufficient_scope"`
		if named {
			challenge += `, scope="` + l.need + `"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, canary+token)
		return
	case answer != nil:
		answer(w, r)
		return
	}
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	_ = json.Unmarshal(body, &m)
	if m.Method == "initialize" {
		w.Header().Set("Mcp-Session-Id", "session-of-"+account)
	}
	writeTestJSON(w, map[string]any{"jsonrpc": "2.0", "id": m.ID, "result": map[string]any{
		"account": account, "session": r.Header.Get("Mcp-Session-Id"), "body": string(body), "key": r.Header.Get("X-Key"),
	}})
}

func (l *lab) serveProvider(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	if r.PostForm.Get("grant_type") == "refresh_token" {
		l.awaitGate()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server":
		writeTestJSON(w, map[string]any{
			"issuer": l.provider.URL, "authorization_endpoint": l.provider.URL + "/authorize", "token_endpoint": l.provider.URL + "/token",
			"registration_endpoint": l.provider.URL + "/register", "revocation_endpoint": l.provider.URL + "/revoke",
			"code_challenge_methods_supported": []string{"S256"}, "response_types_supported": []string{"code"},
			"token_endpoint_auth_methods_supported":          []string{"none"},
			"authorization_response_iss_parameter_supported": true,
		})
	case "/register":
		w.WriteHeader(http.StatusCreated)
		writeTestJSON(w, map[string]any{"client_id": "gateway", "token_endpoint_auth_method": "none"})
	case "/authorize":
		if l.decline {
			http.Redirect(w, r, r.Form.Get("redirect_uri")+"?"+url.Values{
				"error": {"access_denied"}, "state": {r.Form.Get("state")}, "iss": {l.provider.URL},
			}.Encode(), http.StatusFound)
			return
		}
		l.issued++
		code := fmt.Sprintf("code-%d", l.issued)
		l.codes[code] = r.Header.Get("X-Account")
		l.scopes[code] = r.Form.Get("scope")
		http.Redirect(w, r, r.Form.Get("redirect_uri")+"?"+url.Values{
			"code": {code}, "state": {r.Form.Get("state")}, "iss": {l.provider.URL},
		}.Encode(), http.StatusFound)
	case "/token":
		l.token(w, r.PostForm)
	case "/revoke":
		l.revoked = append(l.revoked, r.PostForm.Get("token"))
		delete(l.access, r.PostForm.Get("token"))
	default:
		http.NotFound(w, r)
	}
}

func (l *lab) awaitGate() {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

func (l *lab) token(w http.ResponseWriter, form url.Values) {
	from, known := l.codes, form.Get("code")
	if form.Get("grant_type") == "refresh_token" {
		l.refreshes++
		from, known = l.refresh, form.Get("refresh_token")
		if l.spent[known] {
			l.twice = append(l.twice, known)
		}
		l.spent[known] = true
	}
	account, ok := from[known]
	if !ok || l.refuse && form.Get("grant_type") == "refresh_token" {
		w.WriteHeader(http.StatusBadRequest)
		writeTestJSON(w, map[string]any{"error": "invalid_grant", "error_description": canary})
		return
	}
	delete(from, known)
	l.issued++
	access, refresh := fmt.Sprintf("at-%d-%s", l.issued, account), fmt.Sprintf("rt-%d-%s", l.issued, account)
	l.access[access], l.refresh[refresh] = account, account
	l.scopes[access], l.scopes[refresh] = l.scopes[known], l.scopes[known]
	tokens := map[string]any{"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": l.lifetime}
	if l.noRefresh {
		delete(tokens, "refresh_token")
	}
	writeTestJSON(w, tokens)
}

// expire ends all access tokens, as seen by the MCP server alone.
func (l *lab) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.access)
}

func (l *lab) with(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func writeTestJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// server is the line that puts the lab behind the site.
func (l *lab) server(options ...string) string {
	return "insecure_allow_loopback\nserver notion /mcp " + l.URL + "/mcp {\ntitle Notion\nauth per_user_oauth {\n" + strings.Join(options, "\n") + "\n}\n}\n"
}

// people returns the configuration of people with virtual keys.
func people(names ...string) string {
	lines := "identity virtual_key\nidentity anonymous\n"
	for _, name := range names {
		lines += fmt.Sprintf("virtual_key %s sha256:%x\n", name, storage.HashOf(keyOf(name)))
	}
	return lines
}

func keyOf(name string) string { return name + "-key-0123456789abcdef" }

// person is somebody with a browser, signed in to an account of the same name
// at the provider.
type person struct {
	g       *instance
	name    string
	account string
	address string // where they are; default: here
	browser *http.Client
}

func (g *instance) person(name string) *person {
	jar, _ := cookiejar.New(nil)
	p := &person{g: g, name: name, account: name}
	p.browser = &http.Client{Jar: jar, Transport: p, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Port() == "7777" { // the client's
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return p
}

// RoundTrip implements http.RoundTripper.
func (p *person) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Account", p.account)
	if p.address != "" {
		r.Header.Set("X-Forwarded-For", p.address)
	}
	return once.RoundTrip(r)
}

// post submits the form of a page with further values.
func (p *person) post(path, page string, values ...string) string {
	p.g.t.Helper()
	form := fields(page)
	for i := 0; i < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return p.g.page(p.browser.PostForm(p.g.url+path, form))
}

// connect signs in on the account page and connects the server there.
func (p *person) connect(server string) {
	p.g.t.Helper()
	page := p.accountPage()
	page = p.post("/oauth/account/connect", page, "server", server)
	if !strings.Contains(page, "Connected") {
		p.g.t.Fatalf("%s is not connected: %s", p.name, page)
	}
}

// accountPage returns the account page, signed in.
func (p *person) accountPage() string {
	p.g.t.Helper()
	page := p.g.page(p.browser.Get(p.g.url + "/oauth/account"))
	if strings.Contains(page, `name="vk"`) {
		page = p.post("/oauth/account/vk", page, "vk", keyOf(p.name))
	}
	return page
}

// disconnect ends the connection on the account page.
func (p *person) disconnect(server string) {
	p.g.t.Helper()
	p.post("/oauth/account/disconnect", p.accountPage(), "server", server)
}

// call sends a request with the person's key.
func (p *person) call(body string, headers ...string) *http.Response {
	p.g.t.Helper()
	return p.g.call("POST", "/mcp", body, append([]string{"Authorization", "Bearer " + keyOf(p.name), "Content-Type", "application/json"}, headers...)...)
}

const toolCall = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami"}}`

// wantAccount makes a call and checks whose account it used.
func (p *person) wantAccount(want string) {
	p.g.t.Helper()
	if got := status(p.g.t, p.call(toolCall), http.StatusOK); !strings.Contains(got, `"account":"`+want+`"`) {
		p.g.t.Errorf("%s called as %s", p.name, got)
	}
}
