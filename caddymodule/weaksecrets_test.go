package caddymodule

import (
	cryptorand "crypto/rand"
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

// M04: an encryption key is random, but for one that was replaced.
func TestWeakEncryptionKeys_M04(t *testing.T) {
	counting := make([]byte, keySize)
	for i := range counting {
		counting[i] = byte(3 * i)
	}
	for name, key := range map[string][]byte{
		"one byte": []byte(strings.Repeat("\x41", keySize)), "counting": counting, "repeated": []byte(strings.Repeat("\x01\x23\x45\x67\x89\xab\xcd\xef", 4)),
		"half zero": append([]byte("\x91\x02\xf3\x74\x05\xe6\x37\xa8\x19\xb0\xc1\xd2\x5e\x6f\x80\x9a"), make([]byte, 16)...),
		"words":     []byte("password-password-password-12345"), "row": []byte("0123456789abcdefghijklmnopqrstuv"),
	} {
		if !regular(key) {
			t.Errorf("%s: taken for random", name)
		}
	}
	for range 20_000 {
		key := make([]byte, keySize)
		_, _ = cryptorand.Read(key)
		if regular(key) {
			t.Fatalf("%x is refused", key)
		}
	}
}
