package gate

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestHashBearer(t *testing.T) {
	for _, n := range []int{0, 1, 49, 127, 128, 129, 8 << 10} {
		token := strings.Repeat("a", n)
		if hashBearer(token) != storage.HashOf(token) {
			t.Errorf("%d bytes: hash differs", n)
		}
	}
}
