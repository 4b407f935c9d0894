package caddymodule

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// TestMain gives Caddy's data directory, where the generated key goes, a place
// of its own.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mcp_oauth")
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME", "HOME", "AppData"} {
		_ = os.Setenv(name, dir)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

const aliceKey = "alice-key-0123456789abcdef"

// alice signs in with a virtual key, which is also a bearer token.
var alice = fmt.Sprintf("identity virtual_key\nidentity anonymous\nvirtual_key alice sha256:%x\n", storage.HashOf(aliceKey))

// gateway is a Caddy in this process. There can be only one at a time.
type gateway struct {
	t      *testing.T
	url    string
	addr   string
	dir    string
	logs   string
	client string // that signed in last
	code   string // that it got
	pages  string // that the browser saw

	identity string            // the form to sign in with; default: skip, as nobody in particular
	browse   http.RoundTripper // of the browser
}

// newGateway serves one site with the lines in its mcp_oauth block.
func newGateway(t *testing.T, lines string) *gateway {
	t.Helper()
	g := &gateway{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	g.load(g.caddyfile(lines))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		if refs, used := processStates.References(g.db()); used {
			t.Errorf("%d references to the store are left", refs)
		}
	})
	return g
}

func (g *gateway) db() string { return filepath.Join(g.dir, "mcp_oauth.db") }

func (g *gateway) caddyfile(lines string) string {
	return fmt.Sprintf(`{
	admin off
	auto_https off
	persist_config off
	storage file_system %[1]s
	log {
		output file %[2]s
		format json
		level DEBUG
	}
	mcp_oauth {
		storage bbolt {
			path %[3]s
		}
	}
}
http://%[4]s {
	bind 127.0.0.1
	mcp_oauth {
		%[5]s
	}
}
`, g.dir, g.logs, g.db(), g.addr, lines)
}

// load replaces the configuration.
func (g *gateway) load(caddyfile string) {
	g.t.Helper()
	if err := loadCaddyfile(caddyfile); err != nil {
		g.t.Fatal(err)
	}
}

func loadCaddyfile(caddyfile string) error {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		return err
	}
	return caddy.Load(config, true)
}

func (g *gateway) log() string {
	g.t.Helper()
	text, err := os.ReadFile(g.logs)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// once uses no connection twice: a reload would end it at any time. A request
// that meets the server of before, which hangs up without reading, is sent again.
var once = again{&http.Transport{DisableKeepAlives: true}}

type again struct{ http.RoundTripper }

func (a again) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := a.RoundTripper.RoundTrip(r)
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		return res, err
	}
	r = r.Clone(r.Context())
	if r.GetBody != nil {
		r.Body, _ = r.GetBody()
	}
	return a.RoundTripper.RoundTrip(r)
}

// call sends a request with Alice's key, unless it has an Authorization header.
func (g *gateway) call(method, path, body string, headers ...string) *http.Response {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+aliceKey)
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	res, err := once.RoundTrip(req)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { res.Body.Close() })
	return res
}

// raw sends a request byte for byte, as no HTTP client would, and returns the
// first line of the answer.
func (g *gateway) raw(lines ...string) string {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		g.t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn) // the server closes, perhaps by a reset
	line, _, _ := strings.Cut(string(answer), "\r\n")
	return line
}

func status(t *testing.T, res *http.Response, want int) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != want {
		t.Errorf("status %d, want %d: %s", res.StatusCode, want, body)
	}
	return string(body)
}

// recorder is an upstream that remembers what it got.
type recorder struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func newRecorder(t *testing.T, answer http.HandlerFunc) *recorder {
	t.Helper()
	r := new(recorder)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.requests, r.bodies = append(r.requests, req), append(r.bodies, string(body))
		r.mu.Unlock()
		if answer != nil {
			answer(w, req)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// last returns the last request, or fails.
func (r *recorder) last(t *testing.T) *http.Request {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.requests) == 0 {
		t.Fatal("the upstream got no request")
	}
	return r.requests[len(r.requests)-1]
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests)
}

// eventStream is an upstream that sends an event at once and then one for each
// value of next, until next is closed.
func eventStream(t *testing.T) (_ *httptest.Server, next chan string) {
	t.Helper()
	next = make(chan string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: open\n\n")
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case data, more := <-next:
				if !more {
					return
				}
				_, _ = io.WriteString(w, "data: "+data+"\n\n")
				_ = http.NewResponseController(w).Flush()
			}
		}
	}))
	t.Cleanup(s.CloseClientConnections)
	return s, next
}

// event reads one event of a stream; at its end it returns the error.
func event(r io.Reader) (string, error) {
	var got bytes.Buffer
	b := make([]byte, 1)
	for !bytes.HasSuffix(got.Bytes(), []byte("\n\n")) {
		if _, err := r.Read(b); err != nil {
			return got.String(), err
		}
		got.Write(b)
	}
	return strings.TrimSpace(strings.TrimPrefix(got.String(), "data:")), nil
}

var hiddenField = regexp.MustCompile(`name="(flow_id|csrf_token|identity|resource)"[^>]*value="([^"]*)"`)

// signIn registers a client and signs in as nobody in particular. It returns
// the answer of the token endpoint.
func (g *gateway) signIn(clientName string, resource string) string {
	g.t.Helper()
	body := status(g.t, g.call("POST", "/api/oauth/per-user/register",
		fmt.Sprintf(`{"client_name":%q,"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`, clientName),
		"Content-Type", "application/json"), http.StatusCreated)
	id := regexp.MustCompile(`"client_id":"([^"]+)"`).FindStringSubmatch(body)[1]
	g.client = id
	const verifier = "a-verifier-of-at-least-forty-three-characters-x"
	challenge := sha256.Sum256([]byte(verifier))
	to := g.approve(g.url + "/api/oauth/per-user/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {id}, "redirect_uri": {"http://127.0.0.1:7777/cb"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
		"state": {"state-canary"}, "resource": {resource},
	}.Encode())
	g.code = to.Query().Get("code")
	return status(g.t, g.call("POST", "/api/oauth/per-user/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {g.code}, "client_id": {id},
		"code_verifier": {verifier}, "resource": {resource},
	}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Authorization", ""), http.StatusOK)
}

// approve walks a browser through the pages and returns where it leads to the
// client.
func (g *gateway) approve(authorize string) *url.URL {
	g.t.Helper()
	jar, _ := cookiejar.New(nil)
	if g.browse == nil {
		g.browse = once
	}
	browser := &http.Client{Jar: jar, Transport: g.browse, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host != g.addr {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	identify := fields(g.page(browser.Get(authorize)))
	submit := fields(g.page(browser.PostForm(g.url+"/api/oauth/per-user/consent/"+cmp.Or(g.identity, "skip"), identify)))
	submit.Set("decision", "approve")
	res, err := browser.PostForm(g.url+"/api/oauth/per-user/consent/submit", submit)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	to, err := res.Location()
	if err != nil {
		g.t.Fatalf("no redirect to the client: %v, status %d", err, res.StatusCode)
	}
	return to
}

func (g *gateway) page(res *http.Response, err error) string {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	body := status(g.t, res, http.StatusOK)
	g.pages += body
	return body
}

func fields(page string) url.Values {
	form := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(page, -1) {
		form.Set(m[1], m[2])
	}
	return form
}

// accessToken returns the access token of a token response.
func accessToken(t *testing.T, answer string) string {
	t.Helper()
	m := regexp.MustCompile(`"access_token":"([^"]+)"`).FindStringSubmatch(answer)
	if m == nil {
		t.Fatalf("no access token in %s", answer)
	}
	return m[1]
}

// revoke revokes a token in the name of the client that signed in last.
func (g *gateway) revoke(token string) {
	g.t.Helper()
	status(g.t, g.call("POST", "/api/oauth/per-user/revoke", url.Values{"token": {token}, "client_id": {g.client}}.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""), http.StatusOK)
}
