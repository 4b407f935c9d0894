package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Gateway is the real binary, running.
type Gateway struct {
	*Program
	// URL is the public URL, which is also the issuer.
	URL string
	// Dir holds everything it writes: database, data directory, logs.
	Dir string
	// Args run another command of the same binary on the same configuration,
	// see Command.
	Caddyfile string

	binary  string
	admin   string
	stopped bool
}

// Config is what differs between the gateways of different tests.
type Config struct {
	// Directives are the lines inside the mcp_oauth block, besides public_url.
	Directives string
	// Global are the lines inside the global mcp_oauth option, besides storage.
	Global string
	// Site are further lines of the site.
	Site string
	// Env is added to the environment.
	Env []string
}

// caddyfile logs everything it can, so that a secret anywhere shows.
const caddyfile = `{
	admin %[2]s
	auto_https off
	persist_config off
	skip_install_trust
	storage file_system %[3]s/caddy
	log default {
		level DEBUG
		format json
	}
	mcp_oauth {
		storage bbolt {
			path %[3]s/mcp_oauth.db
		}
%[5]s
	}
}

http://%[1]s {
	bind 127.0.0.1
	log requests {
		output file %[3]s/access.log
		format filter {
			request>uri query {
				replace code REDACTED
				replace state REDACTED
			}
			resp_headers>Location regexp ([?&](?:code|state)=)[^&]* ${1}REDACTED
		}
	}
	mcp_oauth {
		public_url http://%[1]s
%[4]s
	}
%[6]s
}
`

// Run starts a gateway and waits until it serves.
func Run(t testing.TB, config Config) *Gateway {
	t.Helper()
	site, admin, dir := FreeAddr(t), FreeAddr(t), t.TempDir()
	g := &Gateway{
		URL:       "http://" + site,
		Dir:       dir,
		Caddyfile: filepath.Join(dir, "Caddyfile"),
		binary:    Caddy(t),
		admin:     admin,
	}
	g.Configure(t, fmt.Sprintf(caddyfile, site, admin, dir,
		indent(config.Directives, 2), indent(config.Global, 2), indent(config.Site, 1)))
	g.Program = Start(t, g.Command(t, config.Env, "run", "--config", g.Caddyfile))
	g.Expect(t, "serving initial configuration")
	t.Cleanup(func() { g.check(t) })
	return g
}

// Configure replaces the Caddyfile; Reload makes the gateway use it.
func (g *Gateway) Configure(t testing.TB, caddyfile string) {
	t.Helper()
	if err := os.WriteFile(g.Caddyfile, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Command is another command of the same binary, such as validate.
func (g *Gateway) Command(t testing.TB, env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(g.binary, args...)
	cmd.Dir = g.Dir
	cmd.Env = append(os.Environ(),
		"HOME="+g.Dir, "XDG_DATA_HOME="+g.Dir+"/data", "XDG_CONFIG_HOME="+g.Dir+"/config")
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// Reload makes the gateway read its Caddyfile again, without a restart.
func (g *Gateway) Reload(t testing.TB) {
	t.Helper()
	RunToEnd(t, g.Command(t, nil, "reload", "--force", "--config", g.Caddyfile, "--address", g.admin))
}

// Stop ends the gateway as a service manager does and returns how long it took.
func (g *Gateway) Stop(t testing.TB) time.Duration {
	t.Helper()
	begin := time.Now()
	g.Signal(syscall.SIGTERM)
	if err := g.Wait(t); err != nil {
		t.Errorf("gateway ended with %v; printed:\n%s", err, g.String())
	}
	g.stopped = true
	return time.Since(begin)
}

// StopByAdmin ends the gateway with `caddy stop`.
func (g *Gateway) StopByAdmin(t testing.TB) time.Duration {
	t.Helper()
	begin := time.Now()
	RunToEnd(t, g.Command(t, nil, "stop", "--address", g.admin))
	if err := g.Wait(t); err != nil {
		t.Errorf("gateway ended with %v; printed:\n%s", err, g.String())
	}
	g.stopped = true
	return time.Since(begin)
}

// check ends the gateway and fails the test for what no test may cause.
func (g *Gateway) check(t testing.TB) {
	if !g.stopped {
		g.Stop(t)
	}
	for _, never := range []string{"WARNING: DATA RACE", "panic: ", "panic serving", "\"level\":\"panic\"", "goroutine 1 ["} {
		if strings.Contains(g.String(), never) {
			t.Errorf("gateway printed %q:\n%s", never, g.String())
		}
	}
}

func indent(lines string, tabs int) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		b.WriteString(strings.Repeat("\t", tabs) + line)
	}
	return b.String()
}
