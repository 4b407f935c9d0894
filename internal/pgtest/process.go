//go:build unix

package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// run runs a program to its end.
func (h *home) run(start func(*exec.Cmd) error, program string, args ...string) error {
	c, err := h.command(program, args...)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err = start(c); err == nil {
		err = c.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, &out)
	}
	return nil
}

// start starts a program that goes on, and writes what it says to the file log.
func (h *home) start(start func(*exec.Cmd) error, program string, args ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile(h.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	c, err := h.command(program, args...)
	if err != nil {
		return nil, err
	}
	c.Stdout, c.Stderr = log, log
	if err := start(c); err != nil {
		return nil, err
	}
	return c, nil
}

// answers waits until a program that was started answers.
func (h *home) answers(ask func() error) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(h.path("log"))
			return fmt.Errorf("the server did not start: %w: %s", err, text)
		}
	}
}

// end sends a signal that ends a program, and waits for that.
func end(c *exec.Cmd, signal syscall.Signal) error {
	if c == nil {
		return nil
	}
	err := c.Process.Signal(signal)
	_ = c.Wait()
	return err
}

// Pause stops all processes of the server (SIGSTOP): it neither answers nor
// refuses, and its connections stay.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Continue lets a server go on that Pause has stopped.
func (s *Server) Continue() error { return s.signal(syscall.SIGCONT) }

// Kill ends all processes of the server at once (SIGKILL). Run starts it again.
func (s *Server) Kill() error {
	if s.process == nil {
		return nil
	}
	if err := s.signal(syscall.SIGSTOP); err != nil { // so that there are no new ones
		return err
	}
	all, err := family(s.process.Process.Pid)
	if err != nil {
		return err
	}
	for _, pid := range all {
		if e := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(e, syscall.ESRCH) {
			err = errors.Join(err, e)
		}
	}
	_ = s.process.Wait()
	s.process = nil
	for _, pid := range all[1:] { // they are somebody else's children now
		for alive(pid) {
			time.Sleep(5 * time.Millisecond)
		}
	}
	return err
}

// signal reaches the first process before the others, which it starts.
func (s *Server) signal(signal syscall.Signal) error {
	if s.process == nil {
		return errors.New("the server does not run")
	}
	pid := s.process.Process.Pid
	if err := syscall.Kill(pid, signal); err != nil {
		return err
	}
	all, err := family(pid)
	if err != nil {
		return err
	}
	for _, child := range all[1:] {
		if e := syscall.Kill(child, signal); e != nil && !errors.Is(e, syscall.ESRCH) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// family returns a process and its children.
func family(parent int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return nil, errors.New("no /proc, which tells the processes of a server")
	}
	all := []int{parent}
	for _, path := range stats {
		pid, ppid, _ := stat(path)
		if ppid == parent {
			all = append(all, pid)
		}
	}
	return all, nil
}

// alive reports whether a process runs, or stands still.
func alive(pid int) bool {
	_, _, state := stat(fmt.Sprintf("/proc/%d/stat", pid))
	return state != "" && state != "Z" && state != "X"
}

// stat reads what /proc says of a process; zero if it is gone.
func stat(path string) (pid, ppid int, state string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, ""
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 0, 0, ""
	}
	pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(path)))
	ppid, _ = strconv.Atoi(fields[1])
	return pid, ppid, fields[0]
}

func (h *home) command(program string, args ...string) (*exec.Cmd, error) {
	path, err := find(program)
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(context.Background(), path, args...)
	c.Dir = h.dir
	c.Env = append(os.Environ(), "HOME="+h.dir) // its account may not look into ours
	c.SysProcAttr = &syscall.SysProcAttr{Credential: h.account}
	return c, nil
}

// find returns a program. Debian keeps those of PostgreSQL off the PATH, all but
// wrappers of some that look for servers of its own.
func find(program string) (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
	if err == nil && len(found) > 0 {
		return found[len(found)-1], nil
	}
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no %s on the PATH, nor where Debian has it; install the packages postgresql and pgbouncer", program)
}

// unprivileged returns another account for root, as which postgres refuses to run.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		if account, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
