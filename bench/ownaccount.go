package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
)

const connectForm = endpoints + "upstream/authorize"

// ownLoad sends the calls of gateLoad to the site where each caller has an
// account of their own.
func (g *gateway) ownLoad(workers int, tokens []string) load {
	return load{pids: []int{g.pid()}, addr: g.own, workers: workers, requests: callsWith(g.own, tokens), want: 200}
}

// measureOwnAccounts compares calls that carry the caller's own upstream token
// (per_user_oauth) with a plain proxy that sets one header.
func measureOwnAccounts(ctx context.Context, b *bench) error {
	b.progress("calls with the caller's own account (per_user_oauth)")
	if err := b.withGateway(ctx, 0, b.measureOwnAllocations); err != nil {
		return err
	}
	all, err := b.compare(ctx, b.pairs, func(g *gateway, tokens []string) (gate, plain load, err error) {
		own, err := g.signInMany(g.own, knownTokens)
		return g.ownLoad(16, own), g.plainLoad(16, tokens), err
	})
	if err != nil {
		return err
	}
	return b.addCPU("CPU per call, per_user_oauth", "own account", "plain", all, noDearer)
}

// measureOwnAllocations counts what such a call allocates, and that it writes
// nothing.
func (b *bench) measureOwnAllocations(g *gateway, tokens []string) error {
	own, err := g.signInMany(g.own, knownTokens)
	if err != nil {
		return err
	}
	plain, err := allocationsPer(g, g.plainLoad(16, tokens), b.allocRequests)
	if err != nil {
		return err
	}
	before, err := g.commits()
	if err != nil {
		return err
	}
	gate, err := allocationsPer(g, g.ownLoad(16, own), b.allocRequests)
	if err != nil {
		return err
	}
	after, err := g.commits()
	if err != nil {
		return err
	}
	b.add(
		row{
			"allocations per call, per_user_oauth", gate.String(),
			plain.String(), "≤ plain", verdictOf(gate.count <= plain.count),
		},
		row{"  writes to disk", fmt.Sprint(after - before), "", "0", verdictOf(after == before)},
	)
	return nil
}

// connect presses the button that connects the server, goes to its provider and
// comes back. It returns the browser's cookies, and the services page again.
func (p *person) connect(page []byte, cookies string) (string, answer, error) {
	fields, err := formFields(page, endpoints+"consent/submit")
	if err != nil {
		return "", answer{}, err
	}
	fields.Del("decision")
	fields.Set("server", "bench")
	a, err := p.send("POST", connectForm, formType, cookies, fields.Encode(), 303)
	if err != nil {
		return "", answer{}, err
	}
	trip, _, _ := bytes.Cut(a.header("Set-Cookie"), []byte(";"))
	cookies += "; " + string(trip)
	provider, err := url.Parse(string(a.header("Location")))
	if err != nil {
		return "", answer{}, err
	}
	there, err := newVisitor(provider.Host)
	if err != nil {
		return "", answer{}, err
	}
	defer there.close()
	if a, err = there.send("GET", provider.RequestURI(), "", "", "", 302); err != nil {
		return "", answer{}, err
	}
	back, err := url.Parse(string(a.header("Location")))
	if err != nil {
		return "", answer{}, err
	}
	if a, err = p.send("GET", back.RequestURI(), "", cookies, "", 303); err != nil {
		return "", answer{}, err
	}
	a, err = p.send("GET", string(a.header("Location")), "", cookies, "", 200)
	return cookies, a, err
}
