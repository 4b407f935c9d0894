package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/presets"
)

// recorded is what a real service said, and how it answers. Its hosts become hosts
// of this machine.
type recorded struct {
	MCP       string                     `json:"mcp"`
	Challenge string                     `json:"challenge"`
	Documents map[string]json.RawMessage `json:"documents"`
	// Token are members of token responses; null removes one.
	Token                 oauthtest.Object `json:"token"`
	KeepsRefreshToken     bool             `json:"keeps_refresh_token"`
	FormEncoded           bool             `json:"form_encoded"`
	RegisteredApplication bool             `json:"registered_application"`
	Registration          oauthtest.Object `json:"registration"`
	RegistrationStatus    int              `json:"registration_status"`
	Open                  bool             `json:"open"` // answers initialize without a token
	RefusesResource       bool             `json:"refuses_resource"`
	AuthedUser            bool             `json:"authed_user"` // of a code, Slack's way
}

// world is the hosts of a service.
type world struct {
	t        *testing.T
	hosts    map[string]*oauthtest.Host // by their real name
	provider *oauthtest.Provider
	asked    []url.Values // authorization requests
}

var realOrigin = regexp.MustCompile(`https://([A-Za-z0-9.-]+)`)

// here replaces the real hosts of a text by those of this machine.
func (w *world) here(text string) string {
	return realOrigin.ReplaceAllStringFunc(text, func(origin string) string {
		name := strings.TrimPrefix(origin, "https://")
		if name == "www.googleapis.com" { // which is in the names of scopes
			return origin
		}
		if w.hosts[name] == nil {
			w.hosts[name] = oauthtest.NewHost(w.t)
		}
		return w.hosts[name].URL
	})
}

// page has the host of a real URL answer it.
func (w *world) page(address string, page http.HandlerFunc) {
	u, err := url.Parse(address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.here(address)
	w.hosts[u.Host].Page(u.Path, page)
}

// endpoint has one of the provider's pages answer a real URL.
func (w *world) endpoint(address, page string, first func(http.ResponseWriter, *http.Request) bool) {
	if address == "" {
		return
	}
	w.page(address, func(rw http.ResponseWriter, r *http.Request) {
		if first != nil && first(rw, r) {
			return
		}
		r = r.Clone(r.Context())
		r.URL.Path = page
		w.provider.ServeHTTP(rw, r)
	})
}

// newWorld builds the service from what it said.
func newWorld(t *testing.T, rec *recorded) *world {
	t.Helper()
	w := &world{t: t, hosts: map[string]*oauthtest.Host{}, provider: oauthtest.NewProvider(t)}
	var as struct {
		Issuer        string `json:"issuer"`
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
		Registration  string `json:"registration_endpoint"`
		Revocation    string `json:"revocation_endpoint"`
		Iss           bool   `json:"authorization_response_iss_parameter_supported"`
	}
	for address, document := range rec.Documents {
		if strings.Contains(string(document), "authorization_endpoint") {
			if err := json.Unmarshal(document, &as); err != nil {
				t.Fatal(err)
			}
		}
		w.page(address, oauthtest.Answer(http.StatusOK, "application/json", w.here(string(document))))
	}
	w.provider.KeepsRefreshTokens = rec.KeepsRefreshToken
	w.provider.Members = oauthtest.Object{"expires_in": 3600}
	maps.Copy(w.provider.Members, rec.Token)
	w.provider.TokenName = func(n int, account string) string { return fmt.Sprintf("%d-%s", n, account) }
	w.provider.Page(oauthtest.RegisterPath, w.register(rec))
	w.endpoint(as.Authorization, oauthtest.AuthorizePath, func(rw http.ResponseWriter, r *http.Request) bool {
		return w.authorize(rw, r, rec, w.here(as.Issuer), as.Iss)
	})
	w.endpoint(as.Token, oauthtest.TokenPath, func(rw http.ResponseWriter, r *http.Request) bool {
		body := oauthtest.ReadBody(r)
		if form, _ := url.ParseQuery(body); form.Get("grant_type") == "" { // some revoke here too
			r.URL.Path = oauthtest.RevokePath
			w.provider.ServeHTTP(rw, r)
			return true
		}
		return false
	})
	w.endpoint(as.Registration, oauthtest.RegisterPath, nil)
	if as.Revocation != as.Token {
		w.endpoint(as.Revocation, oauthtest.RevokePath, nil)
	}
	if rec.FormEncoded {
		w.reply(as.Token, func(_ string, members oauthtest.Object) (string, string) {
			values := url.Values{}
			for name, value := range members {
				values.Set(name, fmt.Sprint(value))
			}
			return "application/x-www-form-urlencoded; charset=utf-8", values.Encode()
		})
	}
	if rec.AuthedUser {
		w.reply(as.Token, func(grant string, members oauthtest.Object) (string, string) {
			if grant == "authorization_code" {
				members = oauthtest.Object{"authed_user": members, "access_token": "xoxb-of-a-bot", "token_type": "bot"}
			}
			members["ok"] = true
			text, _ := json.Marshal(members) // of the fake
			return "application/json", string(text)
		})
	}
	w.page(rec.MCP, w.serve(rec))
	return w
}

// register registers any client, as the service would.
func (w *world) register(rec *recorded) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		answer := oauthtest.Object{}
		_ = json.Unmarshal([]byte(oauthtest.ReadBody(r)), &answer) // of this site
		answer["client_id"] = "registered"
		if answer["token_endpoint_auth_method"] != "none" {
			answer["client_secret"], answer["client_secret_expires_at"] = "secret-of-a-registration", 0
		}
		maps.Copy(answer, rec.Registration)
		maps.DeleteFunc(answer, func(_ string, v any) bool { return v == nil })
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(max(rec.RegistrationStatus, http.StatusOK))
		_ = json.NewEncoder(rw).Encode(answer)
	}
}

// authorize answers with the issuer that the service says, or with none.
func (w *world) authorize(rw http.ResponseWriter, r *http.Request, rec *recorded, issuer string, iss bool) bool {
	q := r.URL.Query()
	w.asked = append(w.asked, q)
	if q.Get("code_challenge_method") != "S256" || rec.RefusesResource && q.Has("resource") {
		oauthtest.Answer(http.StatusBadRequest, "text/plain", "refused")(rw, r)
		return true
	}
	recorder := &redirect{ResponseWriter: rw, issuer: issuer, iss: iss}
	r = r.Clone(r.Context())
	r.URL.Path = oauthtest.AuthorizePath
	w.provider.ServeHTTP(recorder, r)
	return true
}

// redirect changes the issuer in the redirect of a provider.
type redirect struct {
	http.ResponseWriter
	issuer string
	iss    bool
}

func (r *redirect) WriteHeader(status int) {
	if to, err := url.Parse(r.Header().Get("Location")); err == nil && status == http.StatusFound {
		q := to.Query()
		if q.Del("iss"); r.iss {
			q.Set("iss", r.issuer)
		}
		to.RawQuery = q.Encode()
		r.Header().Set("Location", to.String())
	}
	r.ResponseWriter.WriteHeader(status)
}

// reply has token responses be written otherwise, for the grant type of the request.
func (w *world) reply(token string, written func(grant string, members oauthtest.Object) (contentType, body string)) {
	u, _ := url.Parse(token) // which was parsed before
	former := w.hosts[u.Host].Page(u.Path, nil)
	w.hosts[u.Host].Page(u.Path, func(rw http.ResponseWriter, r *http.Request) {
		form, _ := url.ParseQuery(oauthtest.ReadBody(r))
		reply := &answer{header: http.Header{}, status: http.StatusOK}
		former(reply, r)
		members := oauthtest.Object{}
		_ = json.Unmarshal(reply.body, &members) // of the fake
		contentType, body := written(form.Get("grant_type"), members)
		oauthtest.Answer(reply.status, contentType, body)(rw, r)
	})
}

type answer struct {
	header http.Header
	status int
	body   []byte
}

func (f *answer) Header() http.Header         { return f.header }
func (f *answer) WriteHeader(status int)      { f.status = status }
func (f *answer) Write(b []byte) (int, error) { f.body = append(f.body, b...); return len(b), nil }

// serve is the MCP server.
func (w *world) serve(rec *recorded) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		body := oauthtest.ReadBody(r)
		account, _ := w.provider.Accepts(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if account == "" && !(rec.Open && strings.Contains(body, `"initialize"`)) {
			if rec.Challenge != "" {
				rw.Header().Set("WWW-Authenticate", w.here(rec.Challenge))
			}
			oauthtest.Answer(http.StatusUnauthorized, "application/json", `{"error":"invalid_token"}`)(rw, r)
			return
		}
		oauthtest.Document(oauthtest.Object{"jsonrpc": "2.0", "id": 7, "result": oauthtest.Object{"account": account}})(rw, r)
	}
}

// Each preset is tried with what its service says: a person connects an account, calls
// with it, goes on when the token has ended, and disconnects.
func TestPresets(t *testing.T) {
	files, err := filepath.Glob("testdata/presets/*.json")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d services, %v; want 30 at least", len(files), err)
	}
	var names []string
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".json"))
	}
	if want := presets.Names(); !slices.Equal(names, want) || !slices.IsSorted(want) {
		t.Fatalf("services\n%q, presets\n%q; want the same, sorted", names, want)
	}
	for i, name := range names {
		t.Run(name, func(t *testing.T) { tryPreset(t, name, files[i]) })
	}
}

func tryPreset(t *testing.T, name, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rec recorded
	if err := json.Unmarshal(text, &rec); err != nil {
		t.Fatal(err)
	}
	p := presets.Find(name)
	if (p.Application != "") != rec.RegisteredApplication || p.URL != rec.MCP {
		t.Fatalf("preset %+v, service %s, needs an application: %t", p, rec.MCP, rec.RegisteredApplication)
	}
	w := newWorld(t, &rec)
	if p.Auth.AccountURL != "" {
		w.page(p.Auth.AccountURL, oauthtest.Document(oauthtest.Object{"login": "alice-there", "user": "alice-there"}))
	}
	server := "server " + name
	if rec.RegisteredApplication {
		server += " {\nauth per_user_oauth {\nclient_id preset\nclient_secret preset-secret\n}\n}"
	}
	g := newGateway(t, people("alice")+"server other /other http://127.0.0.1:1/mcp")
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(g.caddyfile(people("alice")+"insecure_allow_loopback\n"+server)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load([]byte(w.here(string(adapted))), true); err != nil {
		t.Fatal(err)
	}
	path := "/" + name + "/mcp"
	alice := g.person("alice")
	page := alice.post("/oauth/account/connect", alice.accountPage(), "server", name)
	if !strings.Contains(page, "Connected") {
		_, told, _ := strings.Cut(page, `class="refused"`)
		t.Fatalf("not connected: %.300s\n%s", told, strings.Join(complaints(g.log()), "\n"))
	}
	call := func() string {
		return status(t, g.call("POST", path, toolCall, "Authorization", "Bearer "+keyOf("alice"), "Content-Type", "application/json"), http.StatusOK)
	}
	if got := call(); !strings.Contains(got, `"account":"alice"`) {
		t.Errorf("called as %s", got)
	}
	if w.provider.ExpireAll(); rec.Token["refresh_token"] != nil || !hasMember(rec.Token, "refresh_token") {
		if got := call(); !strings.Contains(got, `"account":"alice"`) {
			t.Errorf("called as %s after a refresh", got)
		}
	}
	want := strings.Join(p.Auth.Scopes, " ")
	if got := w.asked[0].Get("scope") + w.asked[0].Get("user_scope"); want != "" && !strings.HasPrefix(got, want) {
		t.Errorf("scope %q, want %q", got, want)
	}
	page = alice.accountPage()
	if strings.Contains(page, "alice-there") != (p.Auth.AccountURL != "") || !strings.Contains(page, p.Title) {
		t.Errorf("page: %s", page)
	}
	alice.disconnect(name)
	if res := g.call("POST", path, toolCall, "Authorization", "Bearer "+keyOf("alice"), "Content-Type", "application/json"); res.StatusCode == http.StatusOK {
		if got := body(t, res); strings.Contains(got, `"account":"alice"`) {
			t.Errorf("still connected: %s", got)
		}
	}
}

func hasMember(o oauthtest.Object, name string) bool { _, ok := o[name]; return ok }

// What an operator writes wins over a preset, and what has a URL is none.
func TestCompletedByPreset(t *testing.T) {
	for name, tt := range map[string]struct{ line, want string }{
		"one word":      {"server notion", `{"auth":{"mode":"per_user_oauth"},"id":"notion","path":"/notion/mcp","title":"Notion","upstream":"https://mcp.notion.com/mcp"}`},
		"with a path":   {"server notion /mcp", `{"auth":{"mode":"per_user_oauth"},"id":"notion","path":"/mcp","title":"Notion","upstream":"https://mcp.notion.com/mcp"}`},
		"under a name":  {"server office /office notion", `{"auth":{"mode":"per_user_oauth"},"id":"office","path":"/office","title":"Notion","upstream":"https://mcp.notion.com/mcp"}`},
		"with a URL":    {"server notion /mcp https://notion.example/mcp", `{"id":"notion","path":"/mcp","upstream":"https://notion.example/mcp"}`},
		"other options": {"server neon {\ntitle DB\nauth oauth {\nscopes read\n}\n}", `{"auth":{"mode":"oauth","scopes":["read"]},"id":"neon","path":"/neon/mcp","title":"DB","upstream":"https://mcp.neon.tech/mcp"}`},
		"a shared key":  {"server github {\nauth headers {\nAuthorization \"Bearer {env.PAT}\"\n}\n}", `{"headers":{"Authorization":"Bearer {env.PAT}"},"id":"github","path":"/github/mcp","title":"GitHub","upstream":"https://api.githubcopilot.com/mcp/"}`},
		"an application": {"server github {\nauth per_user_oauth {\nclient_id x\nclient_secret {env.S}\nscopes gist\n}\n}", `{"auth":{"account_name":["login"],"account_url":"https://api.github.com/user","auth_method":"client_secret_post",` +
			`"callback_path":"/api/oauth/callback/github","client_id":"x","client_secret":"{env.S}","mode":"per_user_oauth","no_resource":true,"scopes":["gist"]},"id":"github","path":"/github/mcp","title":"GitHub","upstream":"https://api.githubcopilot.com/mcp/"}`},
	} {
		t.Run(name, func(t *testing.T) {
			adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("https://mcp.example.com {\nmcp_oauth {\nidentity anonymous\n"+tt.line+"\n}\n}\n"), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(string(adapted), `"servers":[`)
			var got map[string]any
			if err := json.NewDecoder(strings.NewReader(rest)).Decode(&got); err != nil {
				t.Fatalf("%v: %s", err, adapted)
			}
			text, _ := json.Marshal(got) // which was just decoded
			if string(text) != tt.want {
				t.Errorf("got\n%s\nwant\n%s", text, tt.want)
			}
		})
	}
}

// The documentation lists all presets.
func TestPresetsAreListed(t *testing.T) {
	const file = "../docs/presets.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	intro, _, found := strings.Cut(string(text), "| preset |")
	if !found {
		t.Fatal("there is no table")
	}
	var table strings.Builder
	table.WriteString("| preset | service | URL | registered application | note |\n|---|---|---|---|---|\n")
	applications := 0
	for _, p := range presets.All() {
		application := "no"
		if p.Application != "" {
			applications++
			application = "[yes](" + p.Application + ")"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %s |\n", p.Name, p.Title, p.URL, application, p.Note)
	}
	fmt.Fprintf(&table, "\n%d presets, of which %d need a registered application.\n", len(presets.All()), applications)
	if *update {
		if err := os.WriteFile(file, []byte(intro+table.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if got := string(text); got != intro+table.String() {
		t.Errorf("%s is not up to date; run this test with -update", file)
	}
}
