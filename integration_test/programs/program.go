package programs

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Program is a process a test started.
type Program struct {
	*Output
	cmd    *exec.Cmd
	exited chan struct{}
	err    error
}

// Start runs cmd in the background and ends it with the test.
func Start(t testing.TB, cmd *exec.Cmd) *Program {
	t.Helper()
	p := &Program{Output: newOutput(), cmd: cmd, exited: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.Output
	}
	cmd.Stderr = p.Output
	// A grandchild that keeps the pipe open must not keep the test waiting.
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		p.Output.end()
		close(p.exited)
	}()
	t.Cleanup(p.Kill)
	return p
}

// Signal sends sig, if the program still runs.
func (p *Program) Signal(sig os.Signal) { _ = p.cmd.Process.Signal(sig) }

// Kill ends the program without a warning.
func (p *Program) Kill() {
	p.Signal(os.Kill)
	<-p.exited
}

// Expect waits until the program has printed a match of pattern.
func (p *Program) Expect(t testing.TB, pattern string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), oauthtest.Patience)
	defer cancel()
	groups, err := p.Await(ctx, regexp.MustCompile(pattern))
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

// Exited is closed when the program has ended.
func (p *Program) Exited() <-chan struct{} { return p.exited }

// Wait waits for the end of the program and returns how it ended.
func (p *Program) Wait(t testing.TB) error {
	t.Helper()
	return p.WaitFor(t, oauthtest.Patience)
}

// WaitFor is Wait for a program that may take that long.
func (p *Program) WaitFor(t testing.TB, long time.Duration) error {
	t.Helper()
	select {
	case <-p.exited:
		return p.err
	case <-time.After(long):
		p.Signal(syscall.SIGQUIT)
		t.Fatalf("still running after %v; printed last:\n%s", long, p.Tail())
		return nil
	}
}

// RunToEnd runs cmd to its end and returns what it printed. The test fails if cmd
// does.
func RunToEnd(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	p := Start(t, cmd)
	if err := p.Wait(t); err != nil {
		t.Fatalf("%v: %v; printed last:\n%s", cmd.Args, err, p.Tail())
	}
	return p.String()
}
