package accounts

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// processes are several on one store, each of which is told what the others learnt of
// their clients at providers, as text.
func processes(g *gateway, n int) []*gateway {
	all := []*gateway{g}
	for len(all) < n {
		other := *g
		other.Broker = New(g.cfg, other.newDeps(egress.New(egress.Options{Loopback: true})))
		all = append(all, &other)
	}
	for _, from := range all {
		tell := func(a Attempt) {
			text, err := json.Marshal(a)
			if err != nil || len(text) > storage.MaxAnnouncement {
				g.t.Errorf("cannot be announced: %s, %v", text, err)
			}
			for _, to := range all {
				var told Attempt
				if err := json.Unmarshal(text, &told); err != nil {
					g.t.Error(err)
				}
				if to != from {
					to.deps.Shared.Told(told, g.clock.Now())
				}
			}
		}
		from.deps.Shared.Tell.Store(&tell)
	}
	return all
}

// People who leave for a provider from one process and come back to another were not
// lost: the registration stays, however often they go.
func TestReturnsToAnotherProcess_CL10(t *testing.T) {
	g := newGateway(t)
	p := newForgetful(g, unclearAnswers["a status alone"])
	three := processes(g, 3)
	for n := range 30 {
		request := g.request()
		request.Owner = fmt.Sprint("virtual_key:", n%4)
		began := three[n%2].start(request)
		g.clock.Advance(time.Minute)
		if _, err := three[2].Finish(t.Context(), g.answerTo(began)); err != nil {
			t.Fatal(err)
		}
		g.clock.Advance(2 * time.Hour) // longer than a doubted registration stays
	}
	if p.registered != 1 {
		t.Errorf("%d registrations, want 1", p.registered)
	}
}

// Nor does a provider that forgot the registration lose somebody at each process
// before one registers anew.
func TestForgottenAtAllProcesses_CL10(t *testing.T) {
	g := newGateway(t)
	p := newForgetful(g, unclearAnswers["a status alone"])
	three := processes(g, 3)
	if !p.travel(three[0], "virtual_key:first") {
		t.Fatal("nobody can connect")
	}
	clear(p.known)
	lost := 0
	for n := range 6 {
		if !p.travel(three[(n+1)%3], testOwner) {
			lost++
		}
	}
	if lost != 1 || p.registered != 2 {
		t.Errorf("%d were lost, with %d registrations; want 1 and 2", lost, p.registered)
	}
}
