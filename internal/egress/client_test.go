package egress

import (
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a hostile host on this machine.
func site(t *testing.T, h http.HandlerFunc) (address string, hits *atomic.Int32) {
	t.Helper()
	hits = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, hits
}

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestCheckURL_H08(t *testing.T) {
	production := New(Options{})
	opened := New(Options{Loopback: true, Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	for _, tc := range []struct {
		url                string
		production, opened bool
	}{
		{"https://client.example/c", true, true},
		{"https://client.example:443/c", true, true},
		{"https://client.example:8443/c", false, true}, // may lead into an opened network
		{"https://8.8.8.8/c", true, true},
		{"https://8.8.8.8:8443/c", false, true}, // refused by the dialer
		{"http://client.example/c", false, false},
		{"http://8.8.8.8/c", false, false},
		{"ftp://client.example/c", false, false},
		{"https://", false, false},
		{"https:opaque", false, false},
		{"https://user@client.example/c", false, false},
		{"https://localhost/c", false, true},
		{"https://a.localhost/c", false, true},
		{"https://LOCALHOST./c", false, true},
		{"http://localhost:8080/c", false, true},
		{"http://127.0.0.1:8080/c", false, true},
		{"http://[::1]:8080/c", false, true},
		{"https://127.0.0.1/c", false, true},
		{"https://[::ffff:127.0.0.1]/c", false, false},
		{"https://10.1.2.3/c", false, true},
		{"http://10.1.2.3:8080/c", false, true},
		{"https://10.2.2.3/c", false, false},
		{"https://169.254.169.254/c", false, false},
		{"https://[64:ff9b::a9fe:a9fe]/c", false, false},
	} {
		u, err := url.Parse(tc.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := production.CheckURL(u) == nil; got != tc.production {
			t.Errorf("production: %s allowed = %v", tc.url, got)
		}
		if got := opened.CheckURL(u) == nil; got != tc.opened {
			t.Errorf("opened: %s allowed = %v", tc.url, got)
		}
	}
}

func TestDialedAddress_H01(t *testing.T) {
	c := New(Options{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	for _, tc := range []struct {
		network, address string
		ok               bool
	}{
		{"tcp4", "8.8.8.8:443", true},
		{"tcp6", "[2606:4700::1111]:443", true},
		{"tcp4", "8.8.8.8:80", false},
		{"tcp4", "8.8.8.8:8443", false},
		{"udp4", "8.8.8.8:443", false},
		{"unix", "/run/x", false},
		{"tcp4", "10.1.2.3:9000", true},
		{"tcp4", "10.2.2.3:443", false},
		{"tcp4", "127.0.0.1:443", false},
		{"tcp6", "[::ffff:127.0.0.1]:443", false},
		{"tcp6", "[fe80::1%eth0]:443", false},
		{"tcp4", "nonsense", false},
	} {
		if err := c.control(t.Context(), tc.network, tc.address, nil); (err == nil) != tc.ok {
			t.Errorf("%s %s: %v", tc.network, tc.address, err)
		}
	}
}

// The name is public by its form; only its address tells.
func TestRebinding_H02(t *testing.T) {
	address, hits := site(t, answer(200, "application/json", `{}`))
	port := address[strings.LastIndex(address, ":")+1:]
	var asked atomic.Int32
	resolver := fakeDNS(func() netip.Addr {
		if asked.Add(1) == 1 {
			return netip.MustParseAddr("127.0.0.1") // opened below, as if it were public
		}
		return netip.MustParseAddr("127.0.0.2")
	})
	c := New(Options{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Resolver: resolver})
	// The first look-up leads to the opened address: TLS then fails, but the site was dialled.
	_, err := c.FetchJSON(t.Context(), "https://rebind.example:"+port+"/c", 100)
	if errors.Is(err, ErrAddress) || err == nil {
		t.Fatalf("first: %v, want a failure after dialling", err)
	}
	_, err = c.FetchJSON(t.Context(), "https://rebind.example:"+port+"/c", 100)
	if !errors.Is(err, ErrAddress) {
		t.Fatalf("second: %v, want ErrAddress", err)
	}
	if hits.Load() != 0 {
		t.Fatal("a request arrived")
	}
}

func TestRedirectNotFollowed_H03(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		address, hits := site(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			http.Redirect(w, r, "/other", status)
		})
		_, err := New(Options{Loopback: true}).FetchJSON(t.Context(), address+"/c", 100)
		if !errors.Is(err, ErrAnswer) || hits.Load() != 1 {
			t.Errorf("%d: %v after %d requests", status, err, hits.Load())
		}
	}
}

func TestEnvironmentProxyNotUsed_H04(t *testing.T) {
	proxy, hits := site(t, answer(200, "application/json", `{}`))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, proxy)
	}
	c := New(Options{Loopback: true, Resolver: fakeDNS(func() netip.Addr { return netip.MustParseAddr("10.0.0.1") })})
	if _, err := c.FetchJSON(t.Context(), "https://client.example/c", 100); !errors.Is(err, ErrAddress) {
		t.Errorf("got %v, want ErrAddress", err)
	}
	if c.http.Transport.(*http.Transport).Proxy != nil || hits.Load() != 0 {
		t.Error("the proxy of the environment is used")
	}
}

func TestInvalidTLS_H18(t *testing.T) {
	s := httptest.NewTLSServer(answer(200, "application/json", `{}`))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	_, err := New(Options{Loopback: true}).FetchJSON(t.Context(), s.URL+"/c", 100)
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
		t.Fatalf("self-signed: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	if _, err := New(Options{Loopback: true, RootCAs: roots}).FetchJSON(t.Context(), s.URL+"/c", 100); err != nil {
		t.Fatalf("trusted: %v", err)
	}
	_, err = New(Options{Loopback: true, RootCAs: roots}).FetchJSON(t.Context(), strings.Replace(s.URL, "127.0.0.1", "localhost", 1)+"/c", 100)
	if wrong := (x509.HostnameError{}); !errors.As(err, &wrong) {
		t.Fatalf("other name: %v", err)
	}
}
