package caddymodule

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// M04: every secret of the configuration is looked at, and the error tells the
// fix without the secret.
func TestWeakSecretsRefused_M04(t *testing.T) {
	const weak = "passwordpassword"
	t.Setenv("WEAK", weak)
	t.Setenv("WEAK_ENCRYPTION_KEY", base64.StdEncoding.EncodeToString([]byte("passwordpassword1234567890123456")))
	t.Setenv("EMPTY_HASH", fmt.Sprintf("sha256:%x", storage.HashOf("")))
	const server = "server a /mcp http://127.0.0.1:1/mcp\n"
	for name, test := range map[string]struct{ global, lines, want string }{
		"virtual key":          {"", "identity virtual_key\nvirtual_key alice {env.WEAK}\n", "virtual_key alice: the key is easy to guess"},
		"client secret":        {"", alice + "client app {\nsecret {env.WEAK}\nredirect_uri https://app.example/cb\n}\n", "secret: the secret is easy to guess"},
		"initial access token": {"", alice + "registration {\ninitial_access_token {env.WEAK}\n}\n", "easy to guess"},
		"hash of nothing":      {"", "identity virtual_key\nvirtual_key alice {env.EMPTY_HASH}\n", "hash of an empty text"},
		"encryption key":       {"encryption_key {env.WEAK_ENCRYPTION_KEY}", alice, "encryption_key: must not be easy to guess"},
	} {
		t.Run(name, func(t *testing.T) {
			err := loadCaddyfile("{\nadmin off\nmcp_oauth {\nstorage memory\n" + test.global + "\n}\n}\nhttp://127.0.0.1:0 {\nmcp_oauth {\npublic_url http://127.0.0.1\n" +
				test.lines + server + "}\n}\n")
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "openssl rand") {
				t.Fatalf("error %v, want one with %q and the way to a good one", err, test.want)
			}
			if strings.Contains(err.Error(), weak) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}
