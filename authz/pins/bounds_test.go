package pins

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

// Tools that nobody approved take the room of none that somebody did.
func TestUnapprovedToolsAreBounded(t *testing.T) {
	now := time.Now()
	p := newProcess(t, memstore.New(), "k", &now)
	var all Viewer
	p.list(all, "first", "")
	for i := range maxUnapproved + 9 {
		p.Judge(all, fmt.Sprint("new ", i), definition("", ""), now)
	}
	if got := len(p.pending("")); got != maxUnapproved {
		t.Errorf("%d tools wait, want %d", got, maxUnapproved)
	}
	for i := range maxRead + 9 {
		p.Judge(all, "first", definition("first", fmt.Sprint(i)), now)
	}
	if len(p.read) > maxRead {
		t.Errorf("%d definitions are known by how they were written", len(p.read))
	}
	for name, want := range map[string]Standing{"first": Held, "new 0": Held, fmt.Sprint("new ", maxUnapproved+1): Held} {
		if got := p.Look(all, name); got != want {
			t.Errorf("a call of %s comes to %d, want %d", name, got, want)
		}
	}
}

// What people approve for themselves fills neither memory nor the store, and of those who
// are forgotten it is read again.
func TestApprovalsOfPeopleAreBounded(t *testing.T) {
	now := time.Now()
	p := newProcess(t, memstore.New(), "k", &now)
	alice := Viewer{View: "alice", Person: "alice"}
	p.list(alice, "first", "")
	var choices []Choice
	for i := range maxOfPerson + 9 {
		name, text := fmt.Sprint("run ", i/maxPending), fmt.Sprint(i)
		p.Judge(alice, name, definition(name, text), now)
		choices = append(choices, Choice{name, define(definition(name, text)).Hash})
	}
	if err := p.ApproveFor(t.Context(), p.place, "alice", choices); err != nil {
		t.Fatal(err)
	}
	if got := len(p.people["alice"]); got != maxOfPerson {
		t.Errorf("%d definitions are approved, want %d", got, maxOfPerson)
	}
	for i := range maxPeople + 9 {
		if err := p.ReadyFor(t.Context(), p.place, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.people) > maxPeople {
		t.Errorf("what %d people approved is remembered", len(p.people))
	}
	p.forgetPeople("") // as another instance may have stored something of anybody
	if _, known := p.people["alice"]; known {
		t.Error("what others may have stored is not read again")
	}
	if err := p.ReadyFor(t.Context(), p.place, "alice"); err != nil {
		t.Fatal(err)
	}
	if got := p.Look(alice, choices[len(choices)-1].Tool); got != Good {
		t.Errorf("what alice approved last comes to %d", got)
	}
	if err := p.ApproveFor(t.Context(), p.place, "alice", []Choice{{choices[0].Tool, define(definition("run", "never listed")).Hash}}); !errors.Is(err, ErrNothing) {
		t.Errorf("what never waited was approved: %v", err)
	}
}

// What waits is forgotten when nobody was listed it for long.
func TestWaitingEnds(t *testing.T) {
	now := time.Now()
	p := newProcess(t, memstore.New(), "k", &now)
	var all Viewer
	p.list(all, "first", "")
	p.list(all, "first", "", "new", "")
	now = now.Add(keptPending + time.Hour)
	p.changed.Store(true)
	p.sync()
	states, _ := p.List()
	if len(states) != 1 || states[0].Name != "first" {
		t.Errorf("%v are known, want what was approved alone", states)
	}
}

// Of one of several accounts, a person sees what that was listed.
func TestWaitingIsOfOneAccount(t *testing.T) {
	now := time.Now()
	p := newProcess(t, memstore.New(), "k", &now)
	p.list(Viewer{}, "first", "")
	p.list(Viewer{View: "alice\nwork\ncli", Person: "alice"}, "run", "")
	p.list(Viewer{View: "alice\nworkshop\ncli", Person: "alice"}, "walk", "")
	var names []string
	for _, s := range p.WaitingFor(Viewer{View: "alice\nwork", Person: "alice"}) {
		names = append(names, s.Name)
	}
	if want := []string{"run"}; !slices.Equal(names, want) {
		t.Errorf("%q wait, want %q", names, want)
	}
}
