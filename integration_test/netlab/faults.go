//go:build linux

package netlab

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// Drop loses all packets between the host and a network from now on, as a wire
// does that was pulled out behind a switch: nobody is told.
func (h *Host) Drop(t testing.TB, network string) {
	t.Helper()
	h.filter(t, network, "drop")
}

// Reject refuses them, as a firewall does that was changed: connections are
// reset.
func (h *Host) Reject(t testing.TB, network string) {
	t.Helper()
	// The resets themselves have to pass.
	h.filter(t, network, "tcp flags & rst != rst reject with tcp reset")
}

func (h *Host) filter(t testing.TB, network, verdict string) {
	t.Helper()
	h.Heal(t)
	rules := exec.Command("ip", "netns", "exec", h.Name, "nft", "-f", "-")
	rules.Stdin = strings.NewReader(fmt.Sprintf(`table ip netlab {
		chain in { type filter hook input priority 0; ip saddr %[1]s %[2]s; }
		chain out { type filter hook output priority 0; ip daddr %[1]s %[2]s; }
	}`, network, verdict))
	must(t, command(rules))
}

// Heal ends what Drop or Reject began.
func (h *Host) Heal(t testing.TB) {
	t.Helper()
	must(t, h.run("nft", "flush", "ruleset"))
}
