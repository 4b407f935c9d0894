package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// TestMain gives Caddy's data directory, where the generated key goes, a place
// of its own.
func TestMain(m *testing.M) {
	if file := os.Getenv(instanceFile); file != "" {
		os.Exit(serveInstance(file))
	}
	dir, err := os.MkdirTemp("", "mcp_oauth")
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME", "HOME", "AppData"} {
		_ = os.Setenv(name, dir)
	}
	debug.SetGCPercent(400) // a Caddy after the other leaves much to collect, and memory is there
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// instanceFile names the Caddyfile that this test binary serves instead of testing, as
// another instance.
const instanceFile = "MCP_OAUTH_TEST_INSTANCE"

// serveInstance serves until who began it closes its input, or is gone.
func serveInstance(file string) int {
	text, err := os.ReadFile(file)
	if err == nil {
		err = loadCaddyfile(string(text))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = caddy.Stop()
	return 0
}

const aliceKey = "alice-key-0123456789abcdef"

// testKey returns an encryption key.
func testKey(name string) []byte {
	key := storage.HashOf(name)
	return key[:]
}

// alice signs in with a virtual key, which is also a bearer token.
var alice = fmt.Sprintf("identity virtual_key\nidentity anonymous\nvirtual_key alice sha256:%x\n", storage.HashOf(aliceKey))

// instance is a Caddy in this process. There can be only one at a time.
type instance struct {
	t       *testing.T
	url     string
	addr    string
	dir     string
	logs    string
	client  string // that signed in last
	code    string // that it got
	written int    // Caddyfiles, to tell them apart
	pages   string // that the browser saw

	authorize func(url string)   // takes authorization requests, instead of a browser
	identity  string             // the form to sign in with; default: skip, as nobody in particular; elsewhere: none, as who is known already
	typed     url.Values         // into that form
	browse    http.RoundTripper  // of the browser
	browser   *oauthtest.Browser // default: a new one for each sign-in
	connects  []string           // servers to connect when signing in
}

// newGateway serves one site with the lines in its mcp_oauth block.
func newGateway(t *testing.T, lines string) *instance {
	t.Helper()
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	g.load(g.caddyfile(lines))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		g.wantReferencesInLog()
		if refs := processStates.Users("bbolt " + g.db()); refs != 0 {
			t.Errorf("%d references to the store are left", refs)
		}
	})
	return g
}

func (g *instance) db() string { return filepath.Join(g.dir, "mcp_oauth.db") }

// allProxied says that servers without a proxy block get an empty one.
var allProxied = oauthtest.AllProxied

func (g *instance) caddyfile(lines string) string {
	g.written++
	if allProxied {
		lines = oauthtest.Proxied(lines)
	}
	site := "http://" + g.addr
	if strings.Contains(lines, "public_url https:") { // another host's
		_, port, _ := net.SplitHostPort(g.addr)
		site = ":" + port
	}
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
%[4]s {
	bind 127.0.0.1
	header X-Loaded %[6]d
	mcp_oauth {
		%[5]s
	}
}
`, g.dir, g.logs, g.db(), site, lines, g.written)
}

var loadedMark = regexp.MustCompile(`header X-Loaded (\d+)`)

// load replaces the configuration. The server of before may answer for another
// moment, so it waits until the new one does, many times in a row.
func (g *instance) load(caddyfile string) {
	g.t.Helper()
	if err := loadCaddyfile(caddyfile); err != nil {
		g.t.Fatal(err)
	}
	mark := loadedMark.FindStringSubmatch(caddyfile)
	for attempts, row := 0, 0; mark != nil && row < 20 && attempts < 1000; attempts++ {
		req, _ := http.NewRequestWithContext(g.t.Context(), "GET", g.url+"/oauth/account", nil)
		res, err := once.RoundTripper.RoundTrip(req) // what the page shows is of no interest
		if err != nil {
			continue
		}
		res.Body.Close()
		if row++; res.Header.Get("X-Loaded") != mark[1] {
			row = 0
		}
	}
}

func loadCaddyfile(caddyfile string) error {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		return err
	}
	return caddy.Load(config, true)
}

func (g *instance) log() string {
	g.t.Helper()
	text, err := os.ReadFile(g.logs)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// logged returns how many lines of the log have the text. What Caddy's own log has
// of each event at DEBUG does not count.
func (g *instance) logged(text string) (n int) {
	g.t.Helper()
	for line := range strings.Lines(g.log()) {
		if strings.Contains(line, text) && !strings.Contains(line, `"logger":"events"`) {
			n++
		}
	}
	return n
}

// handedOut are the addresses of sites so far. Metrics of a site and references that
// it showed are kept for as long as the process lives, so that a second site at the
// same address would have those of the first.
var handedOut sync.Map

func freeAddr(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		_ = l.Close()
		if _, again := handedOut.LoadOrStore(addr, true); !again {
			return addr
		}
	}
}

// once uses no connection twice: a reload would end it at any time. A request
// that meets the server of before, which hangs up without reading, is sent again.
var once = again{&http.Transport{DisableKeepAlives: true}}

type again struct{ http.RoundTripper }

func (a again) RoundTrip(r *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		res, err := a.RoundTripper.RoundTrip(r)
		// Which of these it is depends on how much was written by then.
		if err == nil {
			references.note(r, res)
		}
		hungUp := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
		if !hungUp || attempt == 1000 {
			return res, err
		}
		r = r.Clone(r.Context())
		if r.GetBody != nil {
			r.Body, _ = r.GetBody()
		}
	}
}

// call sends a request with Alice's key, unless it has an Authorization header.
func (g *instance) call(method, path, body string, headers ...string) *http.Response {
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
func (g *instance) raw(lines ...string) string {
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

// size returns how much is in a map that another package keeps to itself.
func size(keeper any, field string) int {
	return reflect.ValueOf(keeper).Elem().FieldByName(field).Len()
}
