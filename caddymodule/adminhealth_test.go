package caddymodule

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/cli"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// runCommand runs `caddy mcp-oauth` with the arguments.
func runCommand(args ...string) error {
	cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
	cli.Add(cmd)
	cmd.SetArgs(args)
	return cmd.Execute()
}

func TestHealth(t *testing.T) {
	lines := alice + "server a /mcp " + oauthtest.Serve(t, nil).URL
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	if got, want := strings.TrimSpace(admin(t, addr, "GET", "/mcp_oauth/health", 200)), `{"status":"ok"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	admin(t, addr, "POST", "/mcp_oauth/health", 405)
	if err := runCommand("health", "--address", addr); err != nil {
		t.Errorf("the command says %v of a healthy server", err)
	}
	socket := filepath.Join(g.dir, "admin.sock")
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin unix/"+socket+"|0600", 1))
	for _, address := range []string{"unix/" + socket, "unix/" + socket + "|0600"} {
		if err := runCommand("health", "--address", address); err != nil {
			t.Errorf("the command says %v of a healthy server at %s", err, address)
		}
	}
	g.load("{\nadmin " + addr + "\n}\nhttp://" + g.addr + " {\nrespond ok\n}")
	err := runCommand("health", "--address", addr)
	if want := "no site with mcp_oauth is configured"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v without a site, want %q", err, want)
	}
	if err := runCommand("health", "--address", freeAddr(t)); err == nil {
		t.Error("got no error where no Caddy runs")
	}
}

// Whatever keeps the sites from answering makes the server unhealthy, until it
// is out of the way.
func TestHealthWithoutStore(t *testing.T) {
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	text := g.caddyfile(alice + "server a /mcp " + oauthtest.Serve(t, nil).URL)
	remove, said := obstacles["database damaged"](t, g, &text)
	addr := freeAddr(t)
	t.Cleanup(func() {
		remove()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	g.load(strings.Replace(text, "admin off", "admin "+addr, 1))
	for _, command := range []string{"health", "status", "people", "grants", "keys", "connections", "clients", "providers", "signing-keys"} {
		err := runCommand(command, "--address", addr)
		for _, want := range said {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q in it", command, err, want)
			}
		}
	}
}
