package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// canaries are the secrets that go between clients, browsers and the site, by value.
type canaries struct {
	http.RoundTripper
	mu    sync.Mutex // guards names
	names map[string]string
}

var canaryName = regexp.MustCompile(`^(code|state|flow_id|ticket|vk|code_verifier|access_token|refresh_token|client_secret|registration_access_token|token)$`)

func (c *canaries) add(name, value string) {
	if len(value) < 8 || strings.HasPrefix(name, "mcp_done") { // what was done is none
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[value] = name
}

func (c *canaries) addFrom(values url.Values) {
	for name := range values {
		if canaryName.MatchString(name) {
			c.add(name, values.Get(name))
		}
	}
}

// RoundTrip implements http.RoundTripper.
func (c *canaries) RoundTrip(r *http.Request) (*http.Response, error) {
	c.addFrom(r.URL.Query())
	if ticket, ok := strings.CutPrefix(r.URL.Path, "/oauth/connect/"); ok {
		c.add("connect link", ticket)
	}
	if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		c.add("Authorization", token)
	}
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		sent, _ := io.ReadAll(body)                                // from memory
		if form, err := url.ParseQuery(string(sent)); err == nil { // else JSON
			c.addFrom(form)
		}
	}
	res, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	for _, cookie := range res.Cookies() {
		c.add(cookie.Name, cookie.Value)
	}
	if to, err := res.Location(); err == nil {
		c.addFrom(to.Query())
	}
	answer, err := io.ReadAll(res.Body)
	res.Body = io.NopCloser(bytes.NewReader(answer))
	members := map[string]any{}
	_ = json.Unmarshal(answer, &members) // a page has none
	for name, value := range members {
		if text, ok := value.(string); ok && canaryName.MatchString(name) {
			c.add(name, text)
		}
	}
	return res, err
}

// formsOf returns how a secret may be written, and its beginning, which may be
// of use to somebody who guesses. What is sealed begins with the name of its key, which
// is none.
func formsOf(secret string, isSealed bool) []string {
	forms := []string{secret, url.QueryEscape(secret), base64.RawStdEncoding.EncodeToString([]byte(secret))}
	beginning := strings.LastIndex(secret[:8], "_") + 1 + 10
	if len(secret) > beginning && !isSealed {
		forms = append(forms, secret[:beginning])
	}
	return forms
}

// A16, M07: sign-ins, connections, calls and what goes wrong with them leave no secret,
// nor its beginning, in anything that an operator reads or keeps.
func TestNoSecretIsShownToOperators_A16_M07(t *testing.T) {
	c := &canaries{RoundTripper: once.RoundTripper, names: map[string]string{}}
	plain := once
	once = again{c}
	t.Cleanup(func() { once = plain })
	notion := newService(t)
	lines := people("alice") + notion.server("optional") +
		"server shared /shared " + notion.URL + "/mcp {\nauth oauth {\nresource " + notion.URL + "/mcp\n}\n}\n"
	g := newGateway(t, lines)
	audit, addr := filepath.Join(g.dir, "audit.log"), freeAddr(t)
	text := strings.Replace(g.caddyfile(lines+"audit on"), "admin off", "admin "+addr+"\nlog audit {\noutput file "+audit+"\nformat json\ninclude mcp_oauth_audit\n}", 1)
	g.load(text)

	person := g.person("alice")
	person.connect("notion")
	person.disconnect("notion")
	person.follow(status(t, person.call(toolCall), 200))                              // the link of a call
	person.follow(admin(t, addr, "POST", "/mcp_oauth/connections/shared/start", 200)) // that of an operator
	answer := g.signIn("client", g.url+"/mcp")
	status(t, g.call("POST", "/mcp", toolCall, "Authorization", "Bearer "+accessToken(t, answer)), 401) // connect first
	var issued struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(answer), &issued); err != nil || issued.Refresh == "" {
		t.Fatalf("no refresh token: %v", err)
	}
	for _, form := range []url.Values{
		{"grant_type": {"refresh_token"}, "refresh_token": {issued.Refresh}},
		{"grant_type": {"refresh_token"}, "refresh_token": {issued.Refresh + "x"}},
		{"grant_type": {"authorization_code"}, "code": {g.code}, "code_verifier": {strings.Repeat("wrong-verifier-", 4)}},
		{"grant_type": {"client_credentials"}, "client_secret": {"wrong-secret-0123456789"}},
		{"token": {"mcprt_wrong-token-0123456789"}},
	} {
		form.Set("client_id", g.client)
		for _, path := range []string{"/api/oauth/per-user/token", "/api/oauth/per-user/revoke"} {
			g.call("POST", path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Authorization", "").Body.Close()
		}
	}
	for _, path := range []string{
		"/mcp?access_token=wrong-query-0123456789", "/api/oauth/per-user/authorize?state=wrong-state-0123456789&client_id=" + g.client,
		"/oauth/consent?flow_id=wrong-flow-0123456789", "/oauth/connect/wrong-ticket-0123456789", "/oauth/nothing?code=wrong-path-0123456789",
		"/api/oauth/callback/notion?code=wrong-code-0123456789&state=wrong-callback-0123456789",
	} {
		g.call("GET", path, "", "Authorization", "Bearer mcpat_wrong-access-0123456789").Body.Close()
	}

	once = plain
	logged, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{"log, at DEBUG": g.log(), "audit log": string(logged), "metrics": g.scraped(addr)}
	for _, path := range []string{
		"flows", "why?client=client", "why?person=alice", "why?server=notion", "grants", "connections", "people", "clients", "keys",
		"status", "registrations", "encryption_keys", "check", "openapi.json", "backup",
	} {
		res, err := http.Get("http://" + addr + "/mcp_oauth/" + path)
		if err != nil {
			t.Fatal(err)
		}
		shown[path] = status(t, res, 200)
	}
	if len(c.names) < 50 {
		t.Fatalf("only %d secrets: %v", len(c.names), c.names)
	}
	for secret, name := range c.names {
		for _, form := range formsOf(secret, name == "flow_id" || name == "connect link") {
			for where, text := range shown {
				if i := strings.Index(text, form); i >= 0 {
					t.Errorf("%s: has the %s %s: …%q", where, name, form, text[max(0, i-100):i+len(form)])
				}
			}
		}
	}
}
