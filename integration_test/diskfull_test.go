//go:build integration && linux

package integration_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// M12: while the disk of the store is full, what needs it is answered 503, and no token
// leaves that is not stored; what was issued works. Once there is room it goes on, with
// the refresh token that was refused.
func TestDiskFull_M12(t *testing.T) {
	if !mayMount(t) {
		return // another process has done it
	}
	t.Run("bbolt", func(t *testing.T) {
		disk := smallDisk(t)
		path := filepath.Join(disk, "mcp_oauth.db")
		g := fillDisk(t, disk, "storage bbolt {\n\tpath "+path+"\n}")
		if out, said, err := mcpOAuth(g, nil, "check", path); err != nil {
			t.Errorf("check: %v: %s%s", err, out, said)
		}
	})
	t.Run("postgres", func(t *testing.T) {
		disk := smallDisk(t)
		server, err := pgtest.Start()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		var owner syscall.Stat_t
		if err := errors.Join(syscall.Stat(server.Dir(), &owner), os.Chown(disk, int(owner.Uid), int(owner.Gid))); err != nil {
			t.Fatal(err)
		}
		if err := server.Exec("CREATE TABLESPACE small LOCATION '" + disk + "'"); err != nil {
			t.Fatal(err)
		}
		schema := server.Schema()
		fillDisk(t, disk, "storage postgres \""+server.DSN()+" options='-c default_tablespace=small'\" {\n\tschema "+schema+"\n}")
		for what, found := range orphans {
			if n := count(t, server, schema, found); n > 0 {
				t.Errorf("%d of %s", n, what)
			}
		}
	})
}

// mounting is set for a process that was started to mount disks.
const mounting = "DISKFULL_MOUNTING"

// mayMount reports whether this process may mount a disk. If it is not root's, the
// test runs in another process meanwhile, which may in a namespace of its own.
func mayMount(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() == 0 || os.Getenv(mounting) != "" {
		return true
	}
	const sysAdmin = 21 // CAP_SYS_ADMIN
	self := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
	}
	again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	again.Env = append(os.Environ(), mounting+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: self(os.Getuid()), GidMappings: self(os.Getgid()), AmbientCaps: []uintptr{sysAdmin},
		Pdeathsig: syscall.SIGKILL,
	}
	said, err := again.CombinedOutput()
	if err != nil {
		t.Fatalf("in a namespace of its own: %v; run it as root where users may make none\n%s", err, said)
	}
	t.Logf("in a namespace of its own:\n%s", said)
	return false
}

// smallDisk mounts a disk of a few megabytes.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=8m,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	for above := filepath.Dir(dir); strings.HasPrefix(above, os.TempDir()+"/"); above = filepath.Dir(above) {
		if err := os.Chmod(above, 0o755); err != nil { // for the account of the database server
			t.Fatal(err)
		}
	}
	return dir
}

// fillDisk fills the disk under a gateway, which it stops in the end.
func fillDisk(t *testing.T, disk, storage string) *harness.Gateway {
	t.Helper()
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{Directives: identities + "server recorder /mcp " + upstream.URL, Env: keys, Storage: storage})
	client := g.Register(t, "http://127.0.0.1:9/callback")
	page := g.NewBrowser(t).SignIn(t, client.Link(g.URL+"/mcp"), alice)
	tokens := client.Redeem(t, page.Leaving, g.URL+"/mcp")

	ballast := filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	refresh := func() (status int, body string) {
		res, err := http.PostForm(g.URL+"/api/oauth/per-user/token", url.Values{
			"grant_type": {"refresh_token"}, "client_id": {client.ID}, "refresh_token": {tokens.RefreshToken},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	refused, refreshed := 0, 0
	for refused < 5 && refreshed < 2000 { // there is some room left in what it has
		status, body := refresh()
		switch status {
		case http.StatusOK:
			refreshed++
			if err := json.Unmarshal([]byte(body), &tokens); err != nil {
				t.Fatal(err)
			}
		case http.StatusServiceUnavailable:
			refused++
			if strings.Contains(body, "token\":") {
				t.Errorf("a refusal with a token: %s", body)
			}
		default:
			t.Fatalf("a refresh on a full disk: %d: %s", status, body)
		}
	}
	t.Logf("%d refreshes found room, then %d were refused", refreshed, refused)
	if refused == 0 {
		t.Fatal("the disk was never full")
	}
	works := func(when string) {
		if res := g.Post(t, "/mcp", tokens.AccessToken, auditedCall); res.StatusCode >= 400 {
			t.Errorf("a call %s: %s: %s", when, res.Status, res.Text)
		}
	}
	works("while the disk is full")
	healthy := func() bool {
		_, said, err := mcpOAuth(g, []string{"CADDY_ADMIN=" + g.AdminAddress()}, "health")
		if err != nil && !strings.Contains(said, "can be read, but not written to") {
			t.Fatalf("health: %v: %s", err, said)
		}
		return err == nil
	}
	oauthtest.Eventually(t, "the gateway stays ready", func() bool {
		if status, body := refresh(); status == http.StatusOK && json.Unmarshal([]byte(body), &tokens) != nil {
			t.Fatal(body)
		}
		return !healthy()
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	before := tokens
	status, body := refresh()
	if status != http.StatusOK || json.Unmarshal([]byte(body), &tokens) != nil || tokens.RefreshToken == before.RefreshToken {
		t.Fatalf("a refresh once there is room: %d: %s", status, body)
	}
	works("once there is room")
	oauthtest.Eventually(t, "the gateway does not become ready again", healthy)
	g.Stop(t)
	return g
}
