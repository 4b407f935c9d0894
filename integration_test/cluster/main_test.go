//go:build integration && linux

// Three gateways on three hosts, on one PostgreSQL:
//
//	go test -tags integration -v ./integration_test/cluster
//	CLUSTER=long go test -tags integration -timeout 60m -v ./integration_test/cluster
//
// The second prints all figures. Both need root, iproute2, nftables and
// PostgreSQL.
package cluster

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/netlab"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m, programs.Main)) }

// long reports whether everything is to be tried, rather than what matters most.
var long = os.Getenv("CLUSTER") == "long"

// pick returns how much of something is tried.
func pick[T any](short, all T) T {
	if long {
		return all
	}
	return short
}

// durations are those of the same thing, each time.
type durations struct {
	mu  sync.Mutex
	all []time.Duration
}

func (d *durations) add(one time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, one)
}

func (d *durations) max() time.Duration { return d.percentile(100) }

func (d *durations) percentile(p int) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d.all))
	return sorted[max(0, (len(sorted)*p+99)/100-1)].Round(time.Millisecond)
}

func (d *durations) String() string {
	return fmt.Sprintf("%d times, p50 %v, p99 %v, at most %v", len(d.all), d.percentile(50), d.percentile(99), d.max())
}

func (d *durations) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = nil
}
