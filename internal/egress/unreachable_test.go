package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Only what fails before there is a connection says that the network, and not
// the host, is in the way.
func TestUnreachable(t *testing.T) {
	closedPort := httptest.NewServer(nil)
	closedPort.Close()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = nil
	t.Cleanup(untrusted.Close)
	slow, _ := site(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
	})
	hangsUp, _ := site(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	notFound, _ := site(t, http.NotFound)
	noNames := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no resolver")
	}}
	for name, tc := range map[string]struct {
		url         string
		options     Options
		unreachable bool
	}{
		"closed port":        {closedPort.URL, Options{Loopback: true}, true},
		"untrusted":          {untrusted.URL, Options{Loopback: true}, true},
		"no resolver":        {"https://client.example", Options{Resolver: noNames}, true},
		"leads to this host": {"https://client.example", Options{Resolver: fakeDNS(func() netip.Addr { return netip.MustParseAddr("127.0.0.1") })}, true},
		"URL not allowed":    {"http://client.example", Options{}, false},
		"slow":               {slow, Options{Loopback: true, Timeout: 50 * time.Millisecond}, false},
		"hangs up":           {hangsUp, Options{Loopback: true}, false},
		"not found":          {notFound, Options{Loopback: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.options).FetchJSON(t.Context(), tc.url+"/secret", 100)
			if err == nil || errors.Is(err, ErrUnreachable) != tc.unreachable {
				t.Errorf("got %v, want ErrUnreachable: %t", err, tc.unreachable)
			}
			if tc.unreachable && strings.Contains(err.Error(), "/secret") {
				t.Errorf("the URL is in the error: %v", err)
			}
		})
	}
}

func TestResolves(t *testing.T) {
	to := func(address string) Options {
		return Options{Resolver: fakeDNS(func() netip.Addr { return netip.MustParseAddr(address) })}
	}
	opened := to("10.1.2.3")
	opened.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for name, tc := range map[string]struct {
		options Options
		want    bool
	}{
		"public":         {to("8.8.8.8"), true},
		"sinkhole":       {to("0.0.0.0"), false},
		"private":        {to("10.1.2.3"), false},
		"opened network": {opened, true},
		"no resolver": {Options{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no resolver")
		}}}, false},
	} {
		if got := New(tc.options).Resolves(t.Context(), "client.example"); got != tc.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}
