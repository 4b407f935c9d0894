//go:build integration && linux

package cluster

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// balancer sends each request to the next instance that is ready, whoever it
// comes from.
type balancer struct {
	instances []*instance
	ready     []atomic.Bool
	passed    []atomic.Int64
	turn      atomic.Int64
}

// balance starts a balancer at an address of the test.
func balance(t *testing.T, address string, instances []*instance) *balancer {
	t.Helper()
	b := &balancer{instances: instances, ready: make([]atomic.Bool, len(instances)), passed: make([]atomic.Int64, len(instances))}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: &httputil.ReverseProxy{
		Transport:     b,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetXForwarded()
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", r.In.Host, r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}}
	go func() { _ = server.Serve(l) }()
	ended := make(chan struct{})
	var watching sync.WaitGroup
	for n, i := range instances {
		watching.Go(func() {
			for {
				select {
				case <-ended:
					return
				case <-time.After(250 * time.Millisecond):
					b.ready[n].Store(i.ready())
				}
			}
		})
	}
	t.Cleanup(func() {
		close(ended)
		watching.Wait()
		_ = server.Close()
	})
	return b
}

// RoundTrip passes a request on, to another instance if one takes no connection.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	err := errors.New("no instance is ready")
	turn := b.turn.Add(1)
	for n := range len(b.instances) {
		at := (int(turn) + n) % len(b.instances)
		if !b.ready[at].Load() {
			continue
		}
		if r.Body != nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		var resp *http.Response
		resp, err = b.instances[at].HTTP.Transport.RoundTrip(r)
		if err == nil {
			b.passed[at].Add(1)
			return resp, nil
		}
		var dial *net.OpError
		if !errors.As(err, &dial) || dial.Op != "dial" {
			return nil, err
		}
	}
	return nil, err
}

// counts returns how many requests each instance got.
func (b *balancer) counts() (all []int64) {
	for n := range b.passed {
		all = append(all, b.passed[n].Load())
	}
	return all
}
