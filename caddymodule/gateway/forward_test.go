package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// What clients hear, and the access log has, of a server that could not be reached is what
// reverse_proxy says.
func TestStatusOf(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want int
	}{
		"hung up":                     {errors.New("EOF"), http.StatusBadGateway},
		"fell silent":                 {&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ETIMEDOUT)}, http.StatusGatewayTimeout},
		"not in time":                 {context.DeadlineExceeded, http.StatusGatewayTimeout},
		"not dialed in time":          {reverseproxy.NewDialError(os.ErrDeadlineExceeded), http.StatusBadGateway},
		"the client left as it dials": {reverseproxy.NewDialError(errors.New("dial tcp 127.0.0.1:1: operation was canceled")), statusClientLeft},
	} {
		if got := statusOf(test.err); got != test.want {
			t.Errorf("%s: got %d, want %d", name, got, test.want)
		}
	}
}
