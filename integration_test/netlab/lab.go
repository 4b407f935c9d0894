//go:build linux

package netlab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// names is where the program ip keeps namespaces.
const names = "/run/netns"

// A Wire connects hosts, and the test.
type Wire struct {
	// Net is the network, such as 10.77.0.0/16; the test is its first address.
	Net string

	bridge, prefix string
}

// NewWire makes the n-th wire. The test has any address of its upper half, so
// that requests can come from as many senders.
func NewWire(t testing.TB, n int) *Wire {
	t.Helper()
	w := &Wire{bridge: fmt.Sprintf("wire%d", n), prefix: fmt.Sprintf("10.%d.", 77+n)}
	w.Net = w.prefix + "0.0/16"
	must(t, ip("link", "add", w.bridge, "type", "bridge"))
	t.Cleanup(func() { _ = ip("link", "del", w.bridge) })
	must(t, ip("addr", "add", w.Address(0, 1)+"/16", "dev", w.bridge))
	must(t, ip("link", "set", w.bridge, "up"))
	must(t, ip("route", "add", "local", w.prefix+"128.0/17", "dev", w.bridge))
	return w
}

// Address returns an address of the network.
func (w *Wire) Address(high, low int) string { return fmt.Sprintf("%s%d.%d", w.prefix, high, low) }

// A Host is a namespace.
type Host struct {
	Name string
	file *os.File
}

// NewHost makes a host. It has loopback, and nothing else.
func NewHost(t testing.TB, name string) *Host {
	t.Helper()
	must(t, ip("netns", "add", name))
	t.Cleanup(func() { _ = ip("netns", "del", name) })
	file, err := os.Open(filepath.Join(names, name))
	must(t, err)
	t.Cleanup(func() { _ = file.Close() })
	h := &Host{Name: name, file: file}
	must(t, h.run("ip", "link", "set", "lo", "up"))
	return h
}

// Connect gives the host an address on a wire.
func (h *Host) Connect(t testing.TB, w *Wire, low int) (address string) {
	t.Helper()
	outer := w.bridge + "-" + h.Name
	must(t, ip("link", "add", outer, "type", "veth", "peer", "name", w.bridge, "netns", h.Name))
	must(t, ip("link", "set", outer, "master", w.bridge))
	must(t, ip("link", "set", outer, "up"))
	address = w.Address(0, low)
	must(t, h.run("ip", "addr", "add", address+"/16", "dev", w.bridge))
	must(t, h.run("ip", "link", "set", w.bridge, "up"))
	return address
}

// Do runs do with all that it starts and listens on at this host. What it
// begins in goroutines is not.
func (h *Host) Do(t testing.TB, do func()) {
	t.Helper()
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	must(t, err)
	defer own.Close()
	must(t, unix.Setns(int(h.file.Fd()), unix.CLONE_NEWNET))
	defer func() {
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
			return // the thread is of no use, and ends with its goroutine
		}
		runtime.UnlockOSThread()
	}()
	do()
}

// Listen listens at this host.
func (h *Host) Listen(t testing.TB, address string) (l net.Listener) {
	t.Helper()
	h.Do(t, func() {
		var err error
		l, err = net.Listen("tcp", address)
		must(t, err)
	})
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// run runs a program at this host.
func (h *Host) run(program string, args ...string) error {
	return command(exec.Command("ip", append([]string{"netns", "exec", h.Name, program}, args...)...))
}

func ip(args ...string) error { return command(exec.Command("ip", args...)) }

func command(c *exec.Cmd) error {
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(c.Args, " "), err, out)
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
