package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/bench/peers"
)

// measurePeers compares the gate, and what else lets callers of MCP servers through,
// with a Caddy that has one plain site. No process has more than it needs for that.
func measurePeers(ctx context.Context, b *bench) error {
	others := b.programs.Others()
	if len(others) == 0 {
		return nil
	}
	for _, name := range append([]string{"gate"}, others...) {
		pairs := max(2, b.pairs/3)
		b.progress("CPU per call, %s beside plain Caddy: %d pairs", name, pairs)
		all, err := comparePeer(ctx, b, name, pairs)
		if err != nil {
			return err
		}
		if err := b.addCPU("CPU per call beside a plain Caddy", name, "plain", all, 0); err != nil {
			return err
		}
	}
	if slices.Contains(others, "sigbit") {
		return measureRegistrations(ctx, b, "gate", "sigbit")
	}
	return nil
}

// comparePeer measures concurrent pairs of a peer and a plain Caddy, with another plain
// Caddy for the controls.
func comparePeer(ctx context.Context, b *bench, name string, pairs int) (all cpuPairs, err error) {
	err = b.besideOneCore(func() error {
		var loads [3]load
		for i, name := range []string{name, "plain", "plain"} {
			p, err := startPeer(ctx, b, name, 1)
			if err != nil {
				return err
			}
			defer p.End()
			for _, pid := range p.PIDs {
				if err := pin(pid, 0); err != nil {
					return err
				}
			}
			if name != "plain" {
				if err := refusesStrangers(p); err != nil {
					return err
				}
			}
			loads[i] = load{pids: p.PIDs, addr: p.Addr, workers: 16, requests: callsWith(p.Addr, p.Tokens), want: 200}
		}
		for range pairs {
			if err := b.measureLoads(&all, loads[0], loads[1], loads[2], loads[2]); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// refusesStrangers returns an error if a peer lets somebody through whose token it does
// not know: what that costs is not comparable.
func refusesStrangers(p *peers.Peer) error {
	c, err := dial(p.Addr)
	if err != nil {
		return err
	}
	defer c.close()
	a, err := c.do(strangers(p.Addr)(0)())
	if err == nil && a.status == 200 {
		err = errors.New("it lets callers through whom it does not know")
	}
	return err
}

// startPeer starts one, with tokens that it accepts. procs is as in startGateway.
func startPeer(ctx context.Context, b *bench, name string, procs int) (*peers.Peer, error) {
	p, err := peers.Place{
		Programs: b.programs, Caddy: b.caddy, Upstream: b.upstream, Credential: upstreamCredential, Dir: b.dir,
		Callers: knownTokens, Procs: procs,
	}.Start(ctx, name)
	if err == nil && len(p.Tokens) == 0 {
		if p.Tokens, err = new(gateway).signInMany(p.Addr, knownTokens); err != nil {
			p.End()
		}
	}
	return p, err
}

// measureRegistrations compares how many clients register at peers in a second, from
// one client and from many. They take turns, as they share a disk.
func measureRegistrations(ctx context.Context, b *bench, names ...string) error {
	type side struct {
		peer  *peers.Peer
		rates map[int][]float64 // by how many register at the same time
	}
	crowds := []int{1, 64}
	sides := make([]side, len(names))
	for i, name := range names {
		p, err := startPeer(ctx, b, name, 0)
		if err != nil {
			return err
		}
		defer p.End()
		sides[i] = side{p, map[int][]float64{}}
	}
	for round := range b.rounds {
		b.progress("registrations at %v, round %d of %d", names, round+1, b.rounds)
		for _, s := range sides {
			for _, crowd := range crowds {
				rate, err := registrationRate(b, s.peer, crowd)
				if err != nil {
					return err
				}
				s.rates[crowd] = append(s.rates[crowd], rate)
			}
		}
	}
	for _, crowd := range crowds {
		title := fmt.Sprintf("registrations/s, %d at a time", crowd)
		drawn := chart{title: title + ", peers"}
		for i, s := range sides {
			rate := median(s.rates[crowd])
			b.add(row{title + ": " + names[i], fmt.Sprintf("%.0f", rate), "", "", noGoal})
			drawn.bars = append(drawn.bars, bar{names[i], rate})
		}
		b.chart(drawn)
	}
	return nil
}

func registrationRate(b *bench, p *peers.Peer, crowd int) (float64, error) {
	jobs := make([]func() error, crowd)
	for i := range jobs {
		c, err := newVisitor(p.Addr)
		if err != nil {
			return 0, err
		}
		defer c.close()
		jobs[i] = func() error {
			_, err := c.send("POST", p.Registration, "application/json", "", peers.Registration, 201)
			return err
		}
	}
	done, elapsed, err := runJobs(jobs, b.window)
	return float64(len(done)) / elapsed.Seconds(), err
}
