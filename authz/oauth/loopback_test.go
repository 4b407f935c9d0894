package oauth

import (
	"net/url"
	"testing"
)

func FuzzLoopbackOrigin(f *testing.F) {
	for _, s := range []string{"http://localhost:1", "https://[::1]", "http://127.0.0.1.evil", "http://localhost:80@evil", "null"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, origin string) {
		if !isLoopbackOrigin(origin) {
			return
		}
		u, err := url.Parse(origin)
		if err != nil {
			t.Fatalf("%q passes and does not parse: %v", origin, err)
		}
		switch u.Hostname() {
		case "localhost", "127.0.0.1", "::1":
		default:
			t.Fatalf("%q passes for host %q", origin, u.Hostname())
		}
		if u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			t.Fatalf("%q passes with more than an origin", origin)
		}
	})
}
