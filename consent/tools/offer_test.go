package tools

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// What is ticked on a page means one tool of one server there, and nothing on another.
func TestTickIsOfOnePage(t *testing.T) {
	tick := func(page, server, tool string) string {
		o := Offer{Server: &config.Server{ID: server}, key: page}
		return o.tick(tool)
	}
	seen := map[string][3]string{}
	for _, of := range [][3]string{{"f1", "notes", "read"}, {"f1", "notes", "write"}, {"f1", "mail", "read"}, {"f2", "notes", "read"}, {"f1n", "otes", "read"}, {"f1", "note", "sread"}} {
		got := tick(of[0], of[1], of[2])
		if other, taken := seen[got]; taken {
			t.Errorf("%q and %q have the same tick %s", of, other, got)
		}
		seen[got] = of
	}
}
