package server

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// wrongSecrets share more and more with the right one: each prefix, each with
// another character behind it, the whole of it and more, and nothing at all.
func wrongSecrets(right string) []string {
	wrong := []string{right + "x", right + right, strings.ToUpper(right), "x"}
	for n := 1; n < len(right); n++ {
		wrong = append(wrong, right[:n], right[:n]+"\x7f"+right[n+1:])
	}
	return wrong
}

// How much of a secret somebody knows changes nothing about the answer: what is
// compared are hashes, which share nothing, in constant time.
func TestWrongSecretsAreAllAlike_C03(t *testing.T) {
	ts := newTestServer(t, authConfig, func(c *siteConfig) { c.Registration.RateLimit = new(0) })
	reg := ts.register(publicClient)
	ways := map[string]struct {
		right string
		try   func(address, secret string) error
	}{
		"secret in the header": {testSecret, func(address, secret string) error {
			_, err := ts.authenticate(address, []string{basicAuth("basic", secret)})
			return err
		}},
		"secret in the form": {testSecret, func(address, secret string) error {
			_, err := ts.authenticate(address, nil, "client_id", "post", "client_secret", secret)
			return err
		}},
		"registration token": {reg.Token, func(address, secret string) error {
			r, err := http.NewRequest(http.MethodGet, testIssuer+reg.path(), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.RemoteAddr = address
			r.Header.Set("Authorization", "Bearer "+secret)
			_, _, err = ts.as.registrationEndpoint().open(r)
			return err
		}},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			if err := way.try("192.0.2.1", way.right); err != nil {
				t.Fatalf("the right one: %v", err)
			}
			wrong := wrongSecrets(way.right)
			first := *oauth.AsError(way.try("192.0.2.1", "wrong"))
			if first.Status != http.StatusUnauthorized {
				t.Fatalf("answer %+v", first)
			}
			for i, secret := range wrong {
				if way.right == reg.Token && strings.ContainsAny(secret, "\x7f") {
					secret = strings.ReplaceAll(secret, "\x7f", "~") // else it is no token at all
				}
				err := way.try(fmt.Sprintf("198.51.%d.%d", i/250, i%250), secret) // each from elsewhere: the limit is not the subject
				if err == nil {
					t.Fatalf("%q is taken for %q", secret, way.right)
				}
				if got := *oauth.AsError(err); !reflect.DeepEqual(got, first) {
					t.Errorf("%q: %+v, another %+v", secret, got, first)
				}
			}
		})
	}
}
