package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
)

// measureRefused measures what a stranger costs: calls with a token that was
// never issued, each another one. They are compared with those of a site that
// refuses everybody, with the same headers and as long a body.
func measureRefused(ctx context.Context, b *bench) error {
	b.progress("refused calls, 16 connections")
	refusing := func(g *gateway, addr string) load {
		return load{pids: []int{g.pid()}, addr: addr, workers: 16, requests: strangers(addr), want: 401}
	}
	if err := b.withGateway(ctx, 0, func(g *gateway, _ []string) error {
		if err := sameRefusal(g.gate, g.refuse); err != nil {
			return err
		}
		before, err := g.commits()
		if err != nil {
			return err
		}
		gate, err := allocationsPer(g, refusing(g, g.gate), b.allocRequests)
		if err != nil {
			return err
		}
		after, err := g.commits()
		if err != nil {
			return err
		}
		plain, err := allocationsPer(g, refusing(g, g.refuse), b.allocRequests)
		b.add(
			row{"401: allocations", gate.String(), plain.String(), "", noGoal},
			row{"  writes to disk", fmt.Sprint(after - before), "", "0", verdictOf(after == before)},
		)
		return err
	}); err != nil {
		return err
	}
	all, err := b.compare(ctx, b.pairs, func(g *gateway, _ []string) (gate, plain load, err error) {
		return refusing(g, g.gate), refusing(g, g.refuse), nil
	})
	if err != nil {
		return err
	}
	if err := b.addCPU("CPU per refused call (plain: respond 401)", "gate", "plain", all, 1.10); err != nil {
		return err
	}
	cpu := median(all.gateCPU)
	b.add(row{"401: CPU µs per call", fmt.Sprintf("%.1f", cpu), fmt.Sprintf("%.1f", median(all.plainCPU)), "≤ 30", verdictOf(cpu <= 30)})
	return nil
}

// sameRefusal returns an error unless two sites refuse a stranger with the same headers
// and bodies of the same length.
func sameRefusal(gate, plain string) error {
	var shapes [2]string
	for i, addr := range []string{gate, plain} {
		c, err := dial(addr)
		if err != nil {
			return err
		}
		defer c.close()
		a, err := c.do(strangers(addr)(0)())
		if err != nil {
			return err
		}
		shapes[i] = a.shape()
	}
	if shapes[0] != shapes[1] {
		return fmt.Errorf("the refusals that are compared differ: %s of the gate, %s of respond 401", shapes[0], shapes[1])
	}
	return nil
}

// shape is what an answer has in common with one that costs as much to write: its
// status, the names of its headers, and how long they and the body are.
func (a answer) shape() string {
	var names []string
	for line := range bytes.Lines(a.head) {
		name, _, _ := bytes.Cut(line, []byte(":"))
		names = append(names, string(name))
	}
	slices.Sort(names)
	return fmt.Sprintf("%d, %d bytes of body, %d of headers %s", a.status, len(a.body), len(a.head), strings.Join(names, ", "))
}

// strangers returns calls with tokens of the right form that nobody issued.
func strangers(host string) requests {
	return func(worker int) func() []byte {
		const digits = "0123456789abcdef"
		token := "mcpat_" + strings.Repeat("A", 54)
		request := call(host, token)
		at := strings.Index(string(request), token) + len("mcpat_")
		n := worker << 32
		return func() []byte {
			n++
			for i, v := at, n; i < at+16; i, v = i+1, v>>4 {
				request[i] = digits[v&15]
			}
			return request
		}
	}
}
