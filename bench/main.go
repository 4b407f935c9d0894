package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/bench/fill"
	"github.com/mcpoauth/caddy-mcp-oauth/bench/peers"
)

// plan is how much of everything is done.
type plan struct {
	allocRequests int           // requests for an allocation count
	pairs         int           // concurrent pairs for the CPU ratio, and as many for its control
	window        time.Duration // of a sample
	rounds        int           // alternating samples of throughput
	streams       int
	firstEvents   int
	grants        []int // for the handler alone
	mixed         mixedPlan
	long          fill.Size
}

var (
	fullPlan = plan{
		allocRequests: 20_000, pairs: 60, window: 2 * time.Second, rounds: 7,
		streams: 9_500, firstEvents: 1_000, grants: []int{1_000, 1_000_000},
		mixed: mixedPlan{streams: 9_500, warm: 3 * time.Minute, time: 27 * time.Minute, reloads: 26},
		long:  fill.Size{Grants: 1_000_000, Clients: 100_000, Expired: 10_000_000},
	}
	quickPlan = plan{
		allocRequests: 4_000, pairs: 8, window: 500 * time.Millisecond, rounds: 2,
		streams: 1_000, firstEvents: 100, grants: []int{1_000, 20_000},
		mixed: mixedPlan{streams: 500, warm: 10 * time.Second, time: 20 * time.Second, reloads: 2},
		long:  fill.Size{Grants: 20_000, Clients: 2_000, Expired: 200_000},
	}
)

// bench is one run.
type bench struct {
	plan
	*report
	caddy    string // binary
	dir      string // for databases; its disk is what is written to
	upstream string // host:port of the MCP server
	// upstreamPID is its process.
	upstreamPID int
	// variant is what is different in gateways from those of most measurements.
	variant variant
	// keep is where gateways keep their records; nil for a file of their own.
	keep *records
	// people is how many sign in with a key of their own; 0 for anybody without.
	people int
	// stores are those that mixed and longlife are about; empty for both.
	stores string
	// programs are those that are compared with the gate.
	programs peers.Programs
	// strict makes a target that is missed an error.
	strict bool
}

func main() {
	log.SetFlags(0)
	if len(os.Args) == 2 && os.Args[1] == "upstream" {
		log.Fatal(serveUpstream())
	}
	quick := flag.Bool("quick", false, "short samples: a few minutes, and as much less reliable")
	only := flag.String("only", "", "comma-separated parts to run: "+strings.Join(partNames(), ", "))
	caddy := flag.String("caddy", "", "binary to measure (default: builds ./cmd/caddy)")
	dir := flag.String("dir", "", "folder whose disk the databases are written to (default: the system's temporary folder)")
	stores := flag.String("stores", "", "bbolt or postgres: what longlife and mixed are about (default: one after the other)")
	var mixed mixedPlan
	flag.IntVar(&mixed.streams, "streams", 0, "streams that stay open while everything else goes on (default: 9,500, quick 500)")
	flag.DurationVar(&mixed.time, "time", 0, "how long everything goes on, a tenth more before it counts (default: 27m, quick 20s)")
	flag.IntVar(&mixed.reloads, "reloads", 0, "how often the configuration is loaded meanwhile (default: 26, quick 2)")
	grants := flag.Int("grants", 0, "grants that longlife fills in, with a tenth as many clients and ten times as many expired records (default: 1,000,000, quick 20,000)")
	programs := flag.String("peers", "", "name=path of programs to compare with, comma-separated: "+strings.Join(peers.Names, ", "))
	plot := flag.String("plot", "bench.svg", "where to write the plot")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bench{plan: fullPlan, report: &report{out: os.Stdout}, caddy: *caddy, stores: *stores}
	if *quick {
		b.plan = quickPlan
	}
	b.mixed = b.mixed.with(mixed)
	if *grants > 0 {
		b.long = fill.Size{Grants: *grants, Clients: *grants / 10, Expired: *grants * 10}
	}
	var err error
	if b.programs, err = peers.Parse(*programs); err != nil {
		log.Fatalf("-peers: %v", err)
	}
	if err := b.run(ctx, *only, *dir, *plot); err != nil {
		log.Fatal(err)
	}
}

func (b *bench) run(ctx context.Context, only, dir, plot string) (err error) {
	if b.dir, err = os.MkdirTemp(dir, "mcp-oauth-bench"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	if b.caddy == "" {
		b.caddy = filepath.Join(b.dir, "caddy")
		b.progress("building ./cmd/caddy")
		build := exec.CommandContext(ctx, "go", "build", "-o", b.caddy, "./cmd/caddy")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building ./cmd/caddy: %w", err)
		}
	}
	stopUpstream, err := b.startUpstream(ctx)
	if err != nil {
		return err
	}
	defer stopUpstream()

	for _, p := range parts {
		if only == "" && p.byName || only != "" && !strings.Contains(","+only+",", ","+p.name+",") {
			continue
		}
		if err := p.run(ctx, b); err != nil {
			b.table() // of what was measured
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	b.table()
	b.drawText()
	if err := os.WriteFile(plot, b.svg(), 0o644); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(b.out, "\n%s, %s, %s, %d CPUs. Plot: %s. Targets missed: %d.\n",
		time.Now().Format(time.DateOnly), runtime.GOOS+"/"+runtime.GOARCH, runtime.Version(), runtime.NumCPU(), plot, b.missed())
	if b.strict && b.missed() > 0 {
		return fmt.Errorf("%d targets were missed", b.missed())
	}
	return nil
}

// parts are the things that are measured, in this order.
var parts = []struct {
	name   string
	run    func(context.Context, *bench) error
	byName bool // only if it is asked for: it takes long
}{
	{"allocations", measureAllocations, false},
	{"cpu", measureCPU, false},
	{"own", measureOwnAccounts, false},
	{"signed", measureSigned, false},
	{"variants", measureVariants, false},
	{"rules", measureRules, false},
	{"throughput", measureThroughput, false},
	{"refused", measureRefused, false},
	{"peers", measurePeers, false},
	{"streams", measureStreams, false},
	{"handler", measureHandler, false},
	{"oauth", measureAuthorizationServer, false},
	{"stores", measureStores, true},
	{"longlife", measureLongLife, true},
	{"cold", measureColdStart, true},
	{"mixed", measureMixed, true},
}

func partNames() []string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	return names
}

// startUpstream starts this program again as the MCP server.
func (b *bench) startUpstream(ctx context.Context) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "upstream")
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := fmt.Fscanln(output, &b.upstream); err != nil {
		return nil, fmt.Errorf("starting the MCP server: %w", err)
	}
	b.upstreamPID = cmd.Process.Pid
	return func() {
		_ = input.Close()
		_ = cmd.Wait()
	}, nil
}
