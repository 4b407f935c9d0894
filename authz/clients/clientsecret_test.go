package clients

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// BenchmarkWrongSecret is to show no trend from none of the secret being right
// to all of it: a comparison that stops early would.
func BenchmarkWrongSecret_C03(b *testing.B) {
	ts := newTestSite(b, authConfig)
	right := oauth.NewSecret("mcpcs_")
	hash := storage.HashOf(right)
	client := &Client{ID: "c", SecretHash: &hash}
	for _, same := range []int{0, len(right) / 4, len(right) / 2, len(right) - 1, len(right)} {
		b.Run(fmt.Sprintf("same=%d_of_%d", same, len(right)), func(b *testing.B) {
			p := presented{clientID: "c", method: oauth.AuthSecretPost, secret: right[:same] + strings.Repeat("~", len(right)-same)}
			for b.Loop() {
				if _, err := ts.authenticator.verifyClient(b.Context(), client, p, stranger); (err == nil) != (same == len(right)) {
					b.Fatal(err)
				}
			}
		})
	}
}
