package harness

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Gateway is the real binary, running.
type Gateway struct {
	*programs.Program
	// URL is the public URL, which is also the issuer.
	URL string
	// Dir holds everything it writes: database, data directory, logs.
	Dir string
	// Caddyfile is the path of its configuration.
	Caddyfile string
	// HTTP reaches it, also over TLS.
	HTTP *http.Client

	config  Config
	binary  string
	admin   string
	earlier string // printed before a restart
	stopped bool
}

// Config is what differs between the gateways of different tests.
type Config struct {
	// Directives are the lines inside the mcp_oauth block, besides public_url.
	Directives string
	// Global are the lines inside the global mcp_oauth option, besides storage.
	Global string
	// Storage is its storage, if it is not a bbolt file.
	Storage string
	// Site are further lines of the site.
	Site string
	// TLS makes it an https site, with a certificate of Caddy's own authority.
	TLS bool
	// Env is added to the environment.
	Env []string
}

// caddyfile logs everything it can, so that a secret anywhere shows.
const caddyfile = `{
	admin %[2]s
%[7]s
	persist_config off
	skip_install_trust
	storage file_system %[3]s/caddy
	log default {
		level DEBUG
		format json
	}
	mcp_oauth {
%[8]s
%[5]s
	}
}

%[1]s {
	bind 127.0.0.1
	log requests {
		output file %[3]s/access.log
		format filter {
			request>uri regexp ([?&](?:code|state)=|/oauth/connect/)[^&]* ${1}REDACTED
			request>headers>Referer delete
			resp_headers>Location regexp ([?&](?:code|state)=|/oauth/connect/)[^&]* ${1}REDACTED
		}
	}
	mcp_oauth {
		public_url %[1]s
%[4]s
	}
%[6]s
}
`

// withTLS leaves out HTTP/3: a port is reserved by its UDP side.
const withTLS = `
auto_https disable_redirects
servers {
	protocols h1 h2
}`

// Run starts a gateway and waits until it serves.
func Run(t testing.TB, config Config) *Gateway {
	t.Helper()
	site, admin, dir := programs.FreeAddr(t), programs.FreeAddr(t), t.TempDir()
	g := &Gateway{
		URL:       config.url(site),
		Dir:       dir,
		Caddyfile: filepath.Join(dir, "Caddyfile"),
		HTTP:      http.DefaultClient,
		config:    config,
		binary:    programs.Caddy(t),
		admin:     admin,
	}
	g.Configure(t, g.configuration(site, admin))
	g.start(t)
	if config.TLS {
		g.awaitCertificate(t, site)
	}
	return g
}

func (c Config) url(addr string) string {
	if c.TLS {
		return "https://" + addr
	}
	return "http://" + addr
}

func (g *Gateway) configuration(addr, admin string) string {
	https, site, storage, directives := "auto_https off", g.config.Site, g.config.Storage, g.config.Directives
	if oauthtest.AllProxied {
		directives = oauthtest.Proxied(directives)
	}
	if storage == "" {
		storage = "storage bbolt {\n\tpath " + g.Database() + "\n}"
	}
	if g.config.TLS {
		https, site = withTLS, "tls internal\n"+site
	}
	return fmt.Sprintf(caddyfile, g.config.url(addr), admin, g.Dir,
		indent(directives, 2), indent(g.config.Global, 2), indent(site, 1), indent(https, 1), indent(storage, 2))
}

// Database is the path of its bbolt file.
func (g *Gateway) Database() string { return filepath.Join(g.Dir, "mcp_oauth.db") }

func (g *Gateway) start(t testing.TB) {
	t.Helper()
	g.Program = programs.Start(t, g.Command("run", "--config", g.Caddyfile))
	g.Expect(t, "serving initial configuration")
	g.stopped = false
	t.Cleanup(func() { g.check(t) }) // before the Program's own, which kills
}

// Restart starts a gateway again that was stopped.
func (g *Gateway) Restart(t testing.TB) {
	t.Helper()
	g.earlier += g.String()
	g.start(t)
}

// Crash ends the gateway without a warning, after which Revive starts it again.
func (g *Gateway) Crash() {
	g.Kill()
	g.stopped = true
}

// Revive starts a gateway again after a crash. What it printed before is looked at,
// and forgotten: that would be too much after hundreds of crashes.
func (g *Gateway) Revive(t testing.TB) {
	t.Helper()
	g.check(t)
	g.earlier = ""
	g.start(t)
}

// Printed is everything the gateway printed, before a restart too.
func (g *Gateway) Printed() string { return g.earlier + g.String() }

// Twin is a command that runs a second gateway on the same files, at other
// addresses.
func (g *Gateway) Twin(t testing.TB) *exec.Cmd {
	t.Helper()
	path := filepath.Join(g.Dir, "Caddyfile.twin")
	if err := os.WriteFile(path, []byte(g.configuration(programs.FreeAddr(t), programs.FreeAddr(t))), 0o600); err != nil {
		t.Fatal(err)
	}
	return g.Command("run", "--config", path)
}

// Configure replaces the Caddyfile; Reload makes the gateway use it.
func (g *Gateway) Configure(t testing.TB, caddyfile string) {
	t.Helper()
	if err := os.WriteFile(g.Caddyfile, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Command is another command of the same binary, such as validate, in the same
// environment.
func (g *Gateway) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(g.binary, args...)
	cmd.Dir = g.Dir
	cmd.Env = append(os.Environ(),
		"HOME="+g.Dir, "XDG_DATA_HOME="+g.Dir+"/data", "XDG_CONFIG_HOME="+g.Dir+"/config")
	cmd.Env = append(cmd.Env, "GORACE=exitcode=0") // check reads the reports
	cmd.Env = append(cmd.Env, g.config.Env...)
	return cmd
}

// Reload makes the gateway read its Caddyfile again, without a restart.
func (g *Gateway) Reload(t testing.TB) {
	t.Helper()
	programs.RunToEnd(t, g.Command("reload", "--force", "--config", g.Caddyfile, "--address", g.admin))
}

// Stop ends the gateway as a service manager does and returns how long it took.
func (g *Gateway) Stop(t testing.TB) time.Duration {
	t.Helper()
	begin := time.Now()
	g.Signal(syscall.SIGTERM)
	if err := g.Wait(t); err != nil {
		t.Errorf("gateway ended with %v; printed last:\n%s", err, g.Tail())
	}
	g.stopped = true
	return time.Since(begin)
}

// StopByAdmin ends the gateway with `caddy stop`.
func (g *Gateway) StopByAdmin(t testing.TB) time.Duration {
	t.Helper()
	begin := time.Now()
	programs.RunToEnd(t, g.Command("stop", "--address", g.admin))
	if err := g.Wait(t); err != nil {
		t.Errorf("gateway ended with %v; printed last:\n%s", err, g.Tail())
	}
	g.stopped = true
	return time.Since(begin)
}

// check ends the gateway and fails the test for what no test may cause.
func (g *Gateway) check(t testing.TB) {
	if !g.stopped {
		g.Stop(t)
	}
	for _, never := range []string{"panic: ", "panic serving", "\"level\":\"panic\"", "goroutine 1 ["} {
		if _, report, found := strings.Cut(g.Printed(), never); found {
			t.Errorf("gateway printed %s%s", never, report[:min(len(report), 8000)])
		}
	}
	for _, race := range raceReport.FindAllString(g.Printed(), -1) {
		if !caddysRace(race) {
			t.Error(race)
		}
	}
}

var raceReport = regexp.MustCompile(`(?s)WARNING: DATA RACE.*?\n={18}`)

// caddysRaces are the data races of Caddy 2.11.9 that tests run into, each by
// two functions that its report names.
var caddysRaces = [][2]string{
	// The access log of a request that was given up reads the number of body
	// bytes while reverse_proxy's transport still drains that body. Only that
	// number can be wrong.
	{"caddyhttp.(*Server).logRequest()", "caddyhttp.(*lengthReader).Read()"},
	// A server of HTTP/2 answers before it has read a request: reverse_proxy counts what
	// was read of the body while its transport closes it. Only whether the body is closed
	// then, or by Go's server at the end of the request, can be wrong.
	{"reverseproxy.(*bodyNopCloserIfNotRead).Read()", "reverseproxy.(*bodyNopCloserIfNotRead).Close()"},
	// The event that a certificate is being obtained copies all of the TLS app,
	// to ask for its name, while that app is still starting.
	{"caddytls.(*TLS).CaddyModule()", "caddytls.(*TLS).Start()"},
}

func caddysRace(report string) bool {
	return slices.ContainsFunc(caddysRaces, func(race [2]string) bool {
		return strings.Contains(report, race[0]) && strings.Contains(report, race[1])
	})
}

func indent(lines string, tabs int) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		b.WriteString(strings.Repeat("\t", tabs) + line)
	}
	return b.String()
}
