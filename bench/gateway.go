package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// gateway is a Caddy process that serves the same MCP server plainly, gated
// with a credential for everybody, gated with each person's own, gated with what
// is signed, and gated with access rules; and a site that refuses everybody.
type gateway struct {
	start func(context.Context) *exec.Cmd // makes cmd
	cmd   *exec.Cmd                       // nil unless it runs
	admin string                          // host:port of the admin API
	plain string                          // of the site with reverse_proxy and header_up
	bare  string                          // of the site with reverse_proxy only
	gate  string                          // of the site with mcp_oauth
	// securePlain and secureGate are the same sites with TLS.
	securePlain, secureGate string
	own                     string // of the site where each person connects an account of their own
	refuse                  string // of the site with respond 401
	jwt                     string // of the site whose access tokens are JWTs
	told                    string // of the site that tells the MCP server who calls
	// ruled are those of the sites with access rules, by how many.
	ruled  map[int]string
	dir    string
	output *bytes.Buffer
	records
	people int    // who sign in with a key
	config string // a Caddyfile
}

// The refusal is as long as that of the gate, and has as many headers.
//
//go:embed gateway.caddyfile
var caddyfile string

// startGateway starts the Caddy binary in front of the MCP server and waits
// until it serves. procs bounds its parallelism; 0 leaves it alone.
func (b *bench) startGateway(ctx context.Context, procs int) (*gateway, error) {
	addrs, err := freeAddresses(12)
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(b.dir, "gateway")
	if err != nil {
		return nil, err
	}
	g := &gateway{
		admin: addrs[0], plain: addrs[1], gate: addrs[2], refuse: addrs[3], own: addrs[4], jwt: addrs[5], told: addrs[6],
		ruled: map[int]string{0: addrs[2], 10: addrs[7], 1000: addrs[8]}, bare: addrs[9], securePlain: addrs[10], secureGate: addrs[11],
		dir: home, output: new(bytes.Buffer), records: inFile(home), people: b.people,
	}
	if b.keep != nil {
		g.records = *b.keep
	}
	config := filepath.Join(home, "Caddyfile")
	if err := writeCertificate(home); err != nil {
		return nil, err
	}
	v := b.variant.in(home)
	g.config = fmt.Sprintf(caddyfile, g.admin, g.plain, g.gate, b.upstream, home, upstreamCredential, g.refuse, g.own, g.jwt, g.told, v.options, v.gate, g.lines, b.identity(), g.ruled[10], g.ruled[1000], rulesLines(10), rulesLines(1000), g.bare, g.securePlain, g.secureGate, v.sites)
	if err := os.WriteFile(config, []byte(g.config), 0o600); err != nil {
		return nil, err
	}
	g.start = func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, b.caddy, "run", "--config", config, "--adapter", "caddyfile")
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 10 * time.Second
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
		if procs > 0 {
			cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(procs))
		}
		cmd.Stdout, cmd.Stderr = g.output, g.output
		return cmd
	}
	if err := g.launch(ctx); err != nil {
		return nil, err
	}
	return g, nil
}

// launch starts the process, again after end, and waits until it serves.
func (g *gateway) launch(ctx context.Context) error {
	g.cmd = g.start(ctx)
	if err := g.cmd.Start(); err != nil {
		return err
	}
	if err := g.waitReady(); err != nil {
		g.end()
		return fmt.Errorf("%w\n%s", err, g.output)
	}
	return nil
}

func (g *gateway) waitReady() error {
	deadline := time.Now().Add(2 * time.Minute)
	for _, addr := range []string{g.plain, g.gate, g.refuse, g.own, g.jwt, g.told, g.ruled[10], g.ruled[1000], g.bare, g.securePlain, g.secureGate} {
		for {
			nc, err := net.Dial("tcp", addr)
			if err == nil {
				_ = nc.Close()
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("caddy does not serve: %w", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// stop ends the process and removes what it wrote.
func (g *gateway) stop() {
	g.end()
	_ = os.RemoveAll(g.dir)
}

// end ends the process, if it runs. Its open streams do not hold it up.
func (g *gateway) end() {
	if g.cmd == nil {
		return
	}
	_ = g.cmd.Process.Signal(os.Interrupt)
	ended := make(chan struct{})
	go func() { _ = g.cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		_ = g.cmd.Process.Kill()
		<-ended
	}
	g.cmd = nil
}

func (g *gateway) pid() int { return g.cmd.Process.Pid }

// identity is how people sign in at the sites: as nobody, or with a key each.
func (b *bench) identity() string {
	if b.people == 0 {
		return "identity anonymous"
	}
	lines := "identity virtual_key"
	for i := range b.people {
		lines += fmt.Sprintf("\n\t\tvirtual_key %s sha256:%x", nameOf(i), sha256.Sum256([]byte(keyOf(i))))
	}
	return lines
}

func nameOf(person int) string { return fmt.Sprintf("person-%d", person) }

// keyOf is the virtual key of a person.
func keyOf(person int) string { return fmt.Sprintf("vk-of-person-%08d-of-the-benchmark", person) }

// memory is what a Go process says of its memory.
type memory struct {
	Mallocs    uint64
	TotalAlloc uint64
	HeapAlloc  uint64
	StackInuse uint64
}

// memory returns the process's counters, after a garbage collection if asked.
func (g *gateway) memory(collect bool) (memory, error) {
	if collect {
		// Twice: finalizers of the first run free what the second collects.
		for range 2 {
			if _, err := g.debug("/debug/pprof/heap?gc=1"); err != nil {
				return memory{}, err
			}
		}
	}
	body, err := g.debug("/debug/vars")
	if err != nil {
		return memory{}, err
	}
	var vars struct {
		Memory memory `json:"memstats"`
	}
	err = json.Unmarshal(body, &vars)
	return vars.Memory, err
}

// goroutines returns how many goroutines the process runs.
func (g *gateway) goroutines() (int, error) {
	body, err := g.debug("/debug/pprof/goroutine?debug=1")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(body), "\n")
	_, total, ok := strings.Cut(line, "total ")
	if !ok {
		return 0, fmt.Errorf("unexpected goroutine profile %q", line)
	}
	return strconv.Atoi(total)
}

func (g *gateway) debug(path string) ([]byte, error) {
	resp, err := http.Get("http://" + g.admin + path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("admin API: " + resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// freeAddresses returns loopback addresses that nobody listens on right now.
func freeAddresses(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}
