package trace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

const site = "https://mcp.example.com"

var start = time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)

// tape records events, one a second unless it is told otherwise.
type tape struct {
	*Recorder
	now time.Time
}

func newTape(limits Limits) *tape {
	return &tape{NewRecorder(limits, func(address string) string {
		block, _, _ := strings.Cut(address, ":")
		return block
	}), start}
}

func (p *tape) add(events ...event.Event) {
	for _, e := range events {
		p.now = p.now.Add(time.Second)
		e.Time, e.Site = p.now, site
		p.Record(&e)
	}
}

func (p *tape) wait(d time.Duration) { p.now = p.now.Add(d) }

// described is each trace as its steps with how they were joined.
func (p *tape) described(t *testing.T, q Query) []string {
	t.Helper()
	found, err := p.Find(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, tr := range found {
		var steps []string
		for _, s := range tr.Steps {
			steps = append(steps, s.Kind+" "+string(s.Join)[:1])
		}
		all = append(all, strings.Join(steps, ", "))
	}
	return all
}

func from(address, agent string, e event.Event) event.Event {
	e.Address, e.Agent = address, agent
	return e
}

func codex(e event.Event) event.Event   { return from("192.0.2.1", "codex/0.171", e) }
func browser(e event.Event) event.Event { return from("192.0.2.1", "Mozilla/5.0 Firefox", e) }

var (
	challenge  = event.Event{Kind: event.GateRefused, Reason: NoToken, Server: "notion", Status: 401}
	metadata   = event.Event{Kind: event.MetadataServed, Reason: "authorization_server"}
	registered = event.Event{Kind: event.ClientRegistered, Client: "c1", ClientName: "Codex"}
	opened     = event.Event{Kind: event.SignInStarted, Client: "c1", Flow: "f1"}
	signedIn   = event.Event{Kind: event.SignInSucceeded, Client: "c1", Flow: "f1", Person: "oidc:alice"}
	approved   = event.Event{Kind: event.ConsentGiven, Client: "c1", Flow: "f1", Grant: "g1", Person: "oidc:alice"}
	issued     = event.Event{Kind: event.TokenIssued, Client: "c1", Grant: "g1", Person: "oidc:alice"}
)

// A whole way is one trace: a stranger's steps by place, the others by what they
// name.
func TestWholeWayIsOneTrace(t *testing.T) {
	p := newTape(DefaultLimits)
	p.add(codex(challenge), codex(metadata), codex(registered), browser(opened), browser(signedIn), browser(approved), codex(issued))
	p.wait(3 * time.Hour)
	p.add(codex(event.Event{Kind: event.GateRefused, Reason: "unknown_token", Server: "notion", Reference: "r1"}))
	want := []string{"gate.refused c, metadata.served l, client.registered l, sign_in.started c, sign_in.succeeded c, consent.given c, token.issued c, gate.refused l"}
	if got := p.described(t, Query{}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, q := range []Query{{Reference: "r1"}, {Reference: "f1"}, {Reference: "g1"}, {Person: "alice"}, {Person: "OIDC:Alice"}, {Client: "codex"}, {Client: "c1"}, {Server: "notion"}, {Site: site, Failed: true}} {
		if got := p.described(t, q); !slices.Equal(got, want) {
			t.Errorf("%+v: got %q, want %q", q, got, want)
		}
	}
	for _, q := range []Query{{Reference: "r2"}, {Person: "bob"}, {Client: "claude"}, {Server: "wiki"}, {Site: "https://other"}} {
		if got := p.described(t, q); got != nil {
			t.Errorf("%+v: got %q, want nothing", q, got)
		}
	}
}

// Clients behind one address are told apart by what they name, and what cannot be
// told apart is said to be only possible.
func TestJoinsAreSaidToBeUnsure(t *testing.T) {
	for name, c := range map[string]struct {
		events []event.Event
		want   []string
	}{
		"two programs at one address": {
			[]event.Event{codex(challenge), from("192.0.2.1", "claude-code/2.1", challenge), codex(metadata), codex(registered)},
			[]string{"gate.refused c, metadata.served l, client.registered l", "gate.refused c"},
		},
		"a client with a document, and the browser of the same machine": {
			[]event.Event{codex(challenge), codex(metadata), browser(opened)},
			[]string{"gate.refused c, metadata.served l, sign_in.started l"},
		},
		"the same, with another program there": {
			[]event.Event{from("192.0.2.1", "gemini", challenge), codex(challenge), browser(opened)},
			[]string{"gate.refused c, sign_in.started p", "gate.refused c"},
		},
		"a browser of another machine": {
			[]event.Event{codex(challenge), from("198.51.100.7", "Mozilla/5.0", opened)},
			[]string{"sign_in.started c", "gate.refused c"},
		},
		"a second sign-in of a client begins another trace": {
			[]event.Event{codex(registered), browser(opened), browser(event.Event{Kind: event.SignInStarted, Client: "c1", Flow: "f2"})},
			[]string{"sign_in.started c", "client.registered c, sign_in.started c"},
		},
		"a refused token request of a client with two sign-ins": {
			[]event.Event{codex(registered), browser(opened), browser(event.Event{Kind: event.SignInStarted, Client: "c1", Flow: "f2"}), from("203.0.113.1", "codex/0.171", event.Event{Kind: event.TokenRefused, Client: "c1"})},
			[]string{"sign_in.started c, token.refused p", "client.registered c, sign_in.started c"},
		},
		"a program with a virtual key, and another with a client of its own": {
			[]event.Event{
				codex(event.Event{Kind: event.CallRefused, Server: "notion", Person: "virtual_key:alice"}),
				codex(event.Event{Kind: event.TokenIssued, Client: "batch", Person: "client:batch"}),
				codex(event.Event{Kind: event.CallRefused, Reason: "not_found", Server: "notion", Person: "virtual_key:alice"}),
			},
			[]string{"call.refused c, call.refused c", "token.issued c"},
		},
		"a grant that is not known any more": {
			[]event.Event{codex(event.Event{Kind: event.TokenRefreshed, Grant: "g9", Person: "oidc:bob"}), codex(challenge)},
			[]string{"token.refreshed c, gate.refused l"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newTape(DefaultLimits)
			p.add(c.events...)
			if got := p.described(t, Query{}); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// After ten minutes, who comes from the same place without a token is somebody new.
func TestStrangerIsForgotten(t *testing.T) {
	p := newTape(DefaultLimits)
	p.add(codex(challenge))
	p.wait(together + time.Second)
	p.add(codex(challenge))
	if got := p.described(t, Query{}); len(got) != 2 {
		t.Errorf("got %q, want two traces", got)
	}
}

// What is kept is bounded, whoever sends what, and a flood of strangers pushes out
// nobody who signed in.
func TestBounds(t *testing.T) {
	limits := Limits{Strangers: 20, Known: 10, Bytes: 1 << 20, Sender: 5, Person: 10}
	p := newTape(limits)
	for i := range 10 {
		id := fmt.Sprint(i)
		p.add(event.Event{Kind: event.TokenIssued, Grant: "g" + id, Person: "oidc:" + id, Client: "c" + id})
	}
	for i := range 100 {
		p.add(from("one:"+fmt.Sprint(i), "x", challenge))
	}
	if n, _ := p.Quantity(); n != 15 {
		t.Errorf("%d traces with a flood from one block, want 15", n)
	}
	for i := range 1000 {
		p.add(from(fmt.Sprint(i), strings.Repeat("x", 1000), challenge))
	}
	if n, _ := p.Quantity(); n != 30 {
		t.Errorf("%d traces with a flood from everywhere, want 30", n)
	}
	if got := p.described(t, Query{Person: "0"}); len(got) != 1 {
		t.Errorf("the first person has %d traces, want 1", len(got))
	}
	for i := range 2000 { // of one person
		p.add(codex(event.Event{
			Kind: event.TokenRefused, Grant: "g3", Reference: fmt.Sprint(i), Reason: fmt.Sprint(i), Detail: strings.Repeat("y", 5000), Err: errors.New(strings.Repeat("z", 5000)),
		}))
	}
	found, err := p.Find(context.Background(), Query{Reference: "g3"})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d traces, %v, want one", len(found), err)
	}
	if tr := found[0]; len(tr.Steps) != maxSteps || tr.LeftOut != 2001-maxSteps || tr.Steps[0].Kind != "token.issued" || tr.Steps[maxSteps-1].Reason != "1999" {
		t.Errorf("%d steps from %s to %s, %d left out", len(tr.Steps), tr.Steps[0].Kind, tr.Steps[maxSteps-1].Reason, tr.LeftOut)
	}
	p.limits.Bytes = 100_000
	p.add(codex(challenge))
	if n, bytes := p.Quantity(); bytes > 100_000 || n == 0 {
		t.Errorf("%d traces with %d bytes, want at most 100000", n, bytes)
	}
	for p.strangers.Len()+p.known.Len() > 0 {
		if p.known.Len() > 0 {
			p.drop(oldest(p.known))
		} else {
			p.drop(oldest(p.strangers))
		}
	}
	if p.bytes != 0 || len(p.index) != 0 || len(p.senders) != 0 || len(p.people) != 0 || len(p.unsaved) != 0 {
		t.Errorf("without traces there are %d bytes, %d keys, %d senders, %d people, %d unsaved", p.bytes, len(p.index), len(p.senders), len(p.people), len(p.unsaved))
	}
}

// Somebody who signs in again and again, from wherever and under however many names,
// pushes out nobody else.
func TestOnePersonPushesOutNobody(t *testing.T) {
	long := strings.Repeat("x", maxText)
	for name, c := range map[string]struct {
		limits Limits
		flood  func(i int) (address, person string)
	}{
		"one person":                       {DefaultLimits, func(i int) (string, string) { return fmt.Sprint("198.51.", i%250, ".1"), "oidc:mallory" }},
		"one address with many names":      {DefaultLimits, func(i int) (string, string) { return "198.51.100.1", fmt.Sprint("user_id:", i) }},
		"one person with long traces":      {Limits{Strangers: 100, Known: 2000, Bytes: 200_000, Sender: 50, Person: 2000}, func(int) (string, string) { return "198.51.100.1", "oidc:mallory" }},
		"one person at the address of all": {Limits{Strangers: 100, Known: 60, Bytes: 1 << 20, Sender: 50, Person: 2000}, func(int) (string, string) { return "192.0.2.1", "oidc:mallory" }},
	} {
		t.Run(name, func(t *testing.T) {
			p := newTape(c.limits)
			const others = 50
			for i := range others {
				id := fmt.Sprint(i)
				p.add(codex(event.Event{Kind: event.TokenIssued, Grant: "g" + id, Person: "oidc:" + id, Client: "c" + id}))
			}
			for i := range 2000 {
				id := fmt.Sprint("f", i)
				address, person := c.flood(i)
				p.add(from(address, "Mozilla/5.0", event.Event{Kind: event.SignInSucceeded, Flow: id, Person: person, Client: "mallory", Detail: long}))
			}
			for i := range others {
				if got := p.described(t, Query{Reference: fmt.Sprint("g", i)}); len(got) != 1 {
					t.Errorf("person %d has %d traces, want 1", i, len(got))
				}
			}
			if got := p.described(t, Query{Reference: "f1999"}); len(got) != 1 {
				t.Error("the last sign-in is not there")
			}
			if n, bytes := p.Quantity(); n > c.limits.Known || bytes > c.limits.Bytes {
				t.Errorf("%d traces with %d bytes, want at most %d with %d", n, bytes, c.limits.Known, c.limits.Bytes)
			}
		})
	}
}

// The same step again and again is one, with how often.
func TestRepeatedStepsAreOne(t *testing.T) {
	p := newTape(DefaultLimits)
	for range 500 {
		p.add(codex(challenge))
	}
	found, _ := p.Find(context.Background(), Query{})
	if len(found) != 1 || len(found[0].Steps) != 2 || found[0].Steps[1].Times != 499 || !found[0].Steps[1].End().Equal(p.now) {
		t.Errorf("got %+v", found)
	}
}

func TestBefore(t *testing.T) {
	p := newTape(DefaultLimits)
	p.add(codex(registered), browser(opened), browser(signedIn))
	p.add(browser(event.Event{Kind: event.SignInStarted, Client: "c1", Flow: "f2", Person: "oidc:alice"}))
	p.add(browser(event.Event{Kind: event.SignInStarted, Client: "c1", Flow: "f3", Person: "oidc:bob"}))
	p.add(browser(event.Event{Kind: event.SignInStarted, Client: "c2", Flow: "f4", Person: "oidc:alice"}))
	all, _ := p.Find(context.Background(), Query{})
	i := slices.IndexFunc(all, func(tr *Trace) bool { return tr.Flow == "f2" })
	got := Before(all[i], all)
	if len(got) != 1 || got[0].Flow != "f1" {
		t.Errorf("got %+v, want the first sign-in", got)
	}
}
