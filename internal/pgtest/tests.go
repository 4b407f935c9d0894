//go:build unix

package pgtest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// For starts a server that is the test's own.
func For(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := StartWith(o)
	return oauthtest.Closing(t, s, err)
}

// Main runs the tests of a package with one server, which use is given first, and
// fails where they leave goroutines behind.
func Main(m *testing.M, use func(*Server)) {
	s, err := Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	use(s)
	code := m.Run()
	err = s.Close()
	if code == 0 && err == nil {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
