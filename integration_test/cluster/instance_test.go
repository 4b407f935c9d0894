//go:build integration && linux

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/netlab"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// instance is one gateway on a host of its own.
type instance struct {
	*programs.Program
	// HTTP reaches this instance by the public URL.
	HTTP *http.Client

	name    string
	host    *netlab.Host
	address string
	cluster *cluster
	binary  string
	env     []string
	dir     string
}

func (i *instance) write(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("ADMIN", i.admin(), "DIR", i.dir, "ADDRESS", i.address).Replace(i.cluster.config)
	if err := os.WriteFile(filepath.Join(i.dir, "Caddyfile"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (i *instance) admin() string { return filepath.Join(i.dir, "admin.sock") }

// start starts the program, as it is and again.
func (i *instance) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command(i.binary, "run", "--config", filepath.Join(i.dir, "Caddyfile"))
	cmd.Dir = i.dir
	cmd.Env = append(append(os.Environ(), "HOME="+i.dir, "GORACE=exitcode=0"), i.env...)
	i.host.Do(t, func() { i.Program = programs.Start(t, cmd) })
	started := i.Program
	t.Cleanup(func() {
		started.Kill()
		for _, never := range []string{"panic: ", "panic serving", "DATA RACE", "goroutine 1 ["} {
			if _, report, found := strings.Cut(started.String(), never); found {
				t.Errorf("%s printed %s%s", i.name, never, report[:min(len(report), 6000)])
			}
		}
		if !t.Failed() {
			return
		}
		t.Logf("%s printed last:\n%s", i.name, started.Tail())
		if dir := os.Getenv("CLUSTER_LOGS"); dir != "" {
			_ = os.WriteFile(filepath.Join(dir, i.name+"-"+time.Now().Format("150405.000")+".log"), []byte(started.String()), 0o600)
		}
	})
}

// stop ends the program as a service manager does.
func (i *instance) stop(t *testing.T) {
	t.Helper()
	i.Signal(syscall.SIGTERM)
	if err := i.Wait(t); err != nil {
		t.Errorf("%s ended with %v; printed last:\n%s", i.name, err, i.Tail())
	}
}

// ready asks as a load balancer does.
func (i *instance) ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.address+":9180/readyz", nil)
	if err != nil {
		return false
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (i *instance) awaitReady(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !i.ready(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready; printed last:\n%s", i.name, i.Tail())
		}
	}
}

// transport connects to the instance whatever host is asked for.
func (i *instance) transport(dialer *net.Dialer) *http.Transport {
	port := i.cluster.URL[strings.LastIndexByte(i.cluster.URL, ':'):]
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, i.address+port)
		},
		MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second,
	}
}

// operate sends a request to the admin API of the instance, below /mcp_oauth.
func (i *instance) operate(t testing.TB, method, path, body string, into any) {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", i.admin())
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://localhost/mcp_oauth/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s at %s: %s, %v: %s", method, path, i.name, resp.Status, err, answer)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(answer, into); err != nil {
		t.Fatal(fmt.Errorf("%s: %w in %s", path, err, answer))
	}
}
