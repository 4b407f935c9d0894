package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// variant is another kind of calls, or of sites, than those of most measurements. It
// has the same on both sides, the gate and plain Caddy.
type variant struct {
	name    string
	options string // lines in the global block; {home} is a folder of the gateway
	sites   string // lines in both sites
	gate    string // lines in the global block of the gate
	// calls returns what is sent to the gate and to plain Caddy; nil for what
	// measureCPU sends.
	calls func(g *gateway, tokens []string) (gate, plain load, err error)
	// meanwhile is what somebody does at each gateway, over and over.
	meanwhile func(p *person) error
	// counted tells whether allocations are counted, too.
	counted bool
	// free says that it shall cost a call no more through the gate than through
	// plain Caddy, which takes more pairs to tell.
	free bool
}

var variants = []variant{
	{name: "plain without header_up", calls: bareCalls, counted: true},
	{name: "in a session", calls: callsInSession, counted: true},
	{name: "access log on", sites: "log {\n\t\toutput file {home}/access.log\n\t}", counted: true},
	{name: "TLS, HTTP/1.1", calls: callsOver(dialTLS), counted: true},
	{name: "TLS, HTTP/2", calls: callsOver(dialHTTP2), counted: true},
	{name: "answers of 1 MB", calls: callsOf(largeBody)},
	{name: "requests of 1 MB", calls: callsOf(string(jsonOfSize(1 << 20)))},
	{name: "beside sign-ins", meanwhile: registerAndSignIn},
	{name: "metrics on", options: "metrics", counted: true, free: true}, // Caddy's own, which both sides have
	{name: "audit on", options: "log audit {\n\t\tinclude mcp_oauth_audit\n\t\toutput file {home}/audit.log\n\t}", gate: "audit on", counted: true},
}

// in returns the variant for a gateway that has its files in home.
func (v variant) in(home string) variant {
	v.options = strings.ReplaceAll(v.options, "{home}", home)
	v.sites = strings.ReplaceAll(v.sites, "{home}", home)
	return v
}

// measureVariants compares calls with plain ones once more for each variant.
func measureVariants(ctx context.Context, b *bench) error {
	for _, v := range variants {
		if v.calls == nil {
			v.calls = func(g *gateway, tokens []string) (gate, plain load, err error) {
				return g.gateLoad(16, tokens), g.plainLoad(16, tokens), nil
			}
		}
		with := *b
		with.variant = v
		if v.meanwhile != nil { // strangers who sign in push out others, whose calls are measured
			with.people = knownTokens
		}
		if err := with.measureVariant(ctx); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

func (b *bench) measureVariant(ctx context.Context) error {
	v := b.variant
	if v.counted {
		b.progress("allocations per call, %s", v.name)
		if err := b.withGateway(ctx, 0, b.measureVariantAllocations); err != nil {
			return err
		}
	}
	pairs, goal := max(2, b.pairs/5), 0.0
	if v.free {
		pairs, goal = b.pairs, noDearer
	}
	b.progress("CPU per call, %s: %d pairs", v.name, pairs)
	all, err := b.compare(ctx, pairs, v.calls)
	if err != nil {
		return err
	}
	if err := b.addCPU("CPU per call, "+v.name, "gate", "plain", all, goal); err != nil {
		return err
	}
	if v.meanwhile != nil { // it is part of the CPU on both sides
		b.add(row{"  those meanwhile, per second at each", fmt.Sprintf("%.0f", all.meanwhile.rate), fmt.Sprintf("%.0f", all.meanwhile.rate), "", noGoal})
	}
	return nil
}

func (b *bench) measureVariantAllocations(g *gateway, tokens []string) error {
	gateLoad, plainLoad, err := b.variant.calls(g, tokens)
	if err != nil {
		return err
	}
	plain, err := allocationsPer(g, plainLoad, b.allocRequests)
	if err != nil {
		return err
	}
	gate, err := allocationsPer(g, gateLoad, b.allocRequests)
	if err != nil {
		return err
	}
	target, reached := "", noGoal
	if b.variant.free {
		target, reached = "≤ plain", verdictOf(gate.count <= plain.count)
	}
	b.add(row{
		"allocations per call, " + b.variant.name, gate.String(),
		plain.String(), target, reached,
	})
	return nil
}

// bareCalls compares with a site that sets no header: its callers have the credential.
func bareCalls(g *gateway, tokens []string) (gate, plain load, err error) {
	gate, plain = g.gateLoad(16, tokens), g.plainLoad(16, tokens)
	plain.addr, plain.requests = g.bare, callsWith(g.bare, []string{strings.TrimPrefix(upstreamCredential, "Bearer ")})
	return gate, plain, nil
}

// callsOver sends the calls over other connections.
func callsOver(dial func(addr string) (client, error)) func(*gateway, []string) (gate, plain load, err error) {
	return func(g *gateway, tokens []string) (gate, plain load, err error) {
		gate, plain = g.gateLoad(16, tokens), g.plainLoad(16, tokens)
		gate.addr, gate.dial = g.secureGate, dial
		plain.addr, plain.dial = g.securePlain, dial
		return gate, plain, nil
	}
}

// callsOf sends calls with another body, which few callers send, as it may be long.
func callsOf(body string) func(*gateway, []string) (gate, plain load, err error) {
	return func(g *gateway, tokens []string) (gate, plain load, err error) {
		tokens = tokens[:4]
		gate, plain = g.gateLoad(16, tokens), g.plainLoad(16, tokens)
		gate.requests = callsWithBody(g.gate, tokens, body)
		plain.requests = callsWithBody(g.plain, tokens, body)
		return gate, plain, nil
	}
}

// callsInSession opens a session for each caller, and has all calls in it. The gate
// gives each caller another id of it, and plain Caddy the MCP server's.
func callsInSession(g *gateway, tokens []string) (gate, plain load, err error) {
	gate, plain = g.gateLoad(16, tokens), g.plainLoad(16, tokens)
	for _, side := range []*load{&gate, &plain} {
		c, err := dial(side.addr)
		if err != nil {
			return gate, plain, err
		}
		defer c.close()
		all := make([][]byte, len(tokens))
		for i, token := range tokens {
			a, err := c.do(post(side.addr, token, openBody))
			if err := side.check(a, err); err != nil {
				return gate, plain, err
			}
			session := string(a.header("Mcp-Session-Id"))
			if session == "" || (session == upstreamSession) != (side == &plain) {
				return gate, plain, fmt.Errorf("%s: a session with the id %q", side.addr, session)
			}
			all[i] = post(side.addr, token, callBody, "Mcp-Session-Id: "+session+"\r\n")
		}
		side.requests = takingTurns(all)
	}
	return gate, plain, nil
}

// meanwhile is what went on beside calls.
type meanwhile struct {
	rate float64 // per second and gateway
	err  error
}

// begin has four people at each gateway begin what goes on meanwhile, with a little
// time between, so that there is about as much of it at any speed.
func (v variant) begin(gateways ...*gateway) (stop func() meanwhile, err error) {
	var ended atomic.Bool
	var done atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, 4*len(gateways))
	start := time.Now()
	stop = func() meanwhile {
		ended.Store(true)
		all.Wait()
		return meanwhile{float64(done.Load()) / time.Since(start).Seconds() / float64(len(gateways)), firstError(errs)}
	}
	if v.meanwhile == nil {
		return stop, nil
	}
	for i := range errs {
		p, err := newPerson(gateways[i%len(gateways)], i)
		if err != nil {
			return stop, err
		}
		all.Go(func() {
			defer p.close()
			for errs[i] == nil && !ended.Load() {
				errs[i] = v.meanwhile(p)
				done.Add(1)
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	return stop, nil
}

func registerAndSignIn(p *person) error {
	client, err := p.register()
	if err == nil {
		_, err = p.signIn(client)
	}
	return err
}
