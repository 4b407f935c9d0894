// Package peers starts other programs that let callers of an MCP server through by
// their tokens, each as its own documentation has it, so that the benchmark can
// compare them with the gate:
//
//	plain           Caddy with reverse_proxy and header_up: what all are compared with
//	gate            Caddy with mcp_oauth and nothing else
//	caddy-security  Caddy with authorize, and HS512 JWTs that were signed for it
//	sigbit          sigbit/mcp-auth-proxy, its own authorization server, with a password
//	oauth2-proxy    by itself, with ES256 ID tokens of an issuer in this process
//	forward_auth    Caddy that asks oauth2-proxy about each call
//
// None writes a line for each call, if it has a switch for that: plain Caddy does not.
package peers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Programs are those that there are to compare with, by name.
type Programs map[string]string

// Names are the names of the programs that a reader can build.
var Names = []string{"caddy-security", "sigbit", "oauth2-proxy"}

// Parse reads name=path,name=path: what there is to compare with. Others are left out.
func Parse(list string) (Programs, error) {
	programs := Programs{}
	for entry := range strings.SplitSeq(list, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		name, path, _ := strings.Cut(entry, "=")
		if !slices.Contains(Names, name) {
			return nil, fmt.Errorf("%q is no peer; there are %s", name, strings.Join(Names, ", "))
		}
		if programs[name] != "" {
			return nil, fmt.Errorf("%s is there twice", name)
		}
		info, err := os.Stat(path)
		switch {
		case path == "":
			return nil, fmt.Errorf("%s has no path: write %s=/path/to/its/program", name, name)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", name, err)
		case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
			return nil, fmt.Errorf("%s: %s is not a program", name, path)
		}
		programs[name] = path
	}
	return programs, nil
}

// Peer is a proxy that runs.
type Peer struct {
	// Addr is its host:port.
	Addr string
	// Tokens are what its callers have; none for a peer at which they sign in first.
	Tokens []string
	// Registration is the path at which clients register; empty where they cannot.
	Registration string
	// PIDs are its processes.
	PIDs []int

	dir  string
	ends []func()
}

// End ends the processes and removes what they wrote.
func (p *Peer) End() {
	for _, end := range slices.Backward(p.ends) {
		end()
	}
	_ = os.RemoveAll(p.dir)
}

// Place is what every peer is put into.
type Place struct {
	Programs
	Caddy      string // with the gate
	Upstream   string // host:port of the MCP server, at /mcp
	Credential string // the Authorization that it wants
	Dir        string // for what peers write
	Callers    int    // that have a token each
	Procs      int    // bounds the parallelism of each process; 0 leaves it alone
}

// kinds are the peers, in the order in which they are told of: what starts each, and
// the program that it needs besides Caddy.
var kinds = []struct {
	name, program string
	start         func(context.Context, Place, *Peer) error
}{
	{"plain", "", startPlain},
	{"gate", "", startGate},
	{"caddy-security", "caddy-security", startCaddySecurity},
	{"sigbit", "sigbit", startSigbit},
	{"oauth2-proxy", "oauth2-proxy", startOAuth2Proxy},
	{"forward_auth", "oauth2-proxy", startForwardAuth},
}

// Others returns the names of the peers that the programs make possible.
func (p Programs) Others() (names []string) {
	for _, k := range kinds {
		if k.program != "" && p[k.program] != "" {
			names = append(names, k.name)
		}
	}
	return names
}

// Start starts a peer.
func (at Place) Start(ctx context.Context, name string) (*Peer, error) {
	for _, k := range kinds {
		if k.name != name {
			continue
		}
		dir, err := os.MkdirTemp(at.Dir, name)
		if err != nil {
			return nil, err
		}
		at.Dir = dir
		p := &Peer{dir: dir}
		if err := k.start(ctx, at, p); err != nil {
			p.End()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return p, nil
	}
	return nil, fmt.Errorf("there is no peer %s", name)
}

// listen returns a loopback address that nobody listens on right now.
func listen() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// run starts one process of a peer and waits until it accepts connections at addr.
func (p *Peer) run(ctx context.Context, at Place, addr, program string, arguments ...string) error {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Dir = at.Dir
	cmd.Env = append(os.Environ(), "HOME="+at.Dir, "XDG_DATA_HOME="+at.Dir, "XDG_CONFIG_HOME="+at.Dir)
	if at.Procs > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprint("GOMAXPROCS=", at.Procs))
	}
	log, err := os.Create(filepath.Join(at.Dir, filepath.Base(program)+".log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	p.PIDs = append(p.PIDs, cmd.Process.Pid)
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	p.ends = append(p.ends, func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	for deadline := time.Now().Add(time.Minute); ; {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			return nc.Close()
		}
		select {
		case <-ended:
			return fmt.Errorf("%s ended: %s", program, said(log.Name()))
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not serve: %w: %s", program, err, said(log.Name()))
		}
	}
}

// said returns the end of what a process wrote.
func said(path string) []byte {
	text, _ := os.ReadFile(path)
	return bytes.TrimSpace(text[max(0, len(text)-2000):])
}
