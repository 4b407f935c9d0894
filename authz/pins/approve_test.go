package pins

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

// Two tools can have one definition. Who approves one of them for themselves has not
// approved the other.
func TestPeopleApproveOneTool(t *testing.T) {
	now := time.Now()
	store := memstore.New()
	p := newProcess(t, store, "k", &now)
	alice := Viewer{Person: "alice"}
	p.list(alice, "first", "")
	kept, _ := p.list(alice, "run", "Runs.", "run_as_root", "Runs.")
	p.want(kept)
	run := p.pending("run")
	if root := p.pending("run_as_root"); root[0].Hash != run[0].Hash {
		t.Fatalf("the two have different definitions: %v, %v", run, root)
	}
	if err := p.ApproveFor(t.Context(), p.place, "alice", run); err != nil {
		t.Fatal(err)
	}
	approves := func(p *process) {
		t.Helper()
		if err := p.ReadyFor(t.Context(), p.place, "alice"); err != nil {
			t.Fatal(err)
		}
		kept, _ := p.list(alice, "run", "Runs.", "run_as_root", "Runs.", "one_more", "Runs.")
		p.want(kept, "run")
	}
	approves(p)
	waiting := []string{}
	for _, s := range p.WaitingFor(alice) {
		waiting = append(waiting, s.Name)
	}
	p.want(waiting, "one_more", "run_as_root")
	if n := testing.AllocsPerRun(100, func() { p.Look(alice, "run") }); n != 0 {
		t.Errorf("%v allocations for a call of what a person approved", n)
	}
	now = now.Add(savePause)
	p.sync()
	approves(newProcess(t, store, "k", &now)) // from what is stored
}

// unwritable is a store that cannot be written to while it fails.
type unwritable struct {
	storage.Store
	err error
}

func (u *unwritable) ReplaceSiteValue(ctx context.Context, v storage.SiteValue, replaces string, now time.Time) (storage.Verdict, error) {
	if u.err != nil {
		return 0, u.err
	}
	return u.Store.ReplaceSiteValue(ctx, v, replaces, now)
}

// An approval that could not be stored is none: neither now nor once the store can be
// written to again.
func TestFailedApprovalIsNone(t *testing.T) {
	now := time.Now()
	store := &unwritable{Store: memstore.New()}
	p := newProcess(t, store, "k", &now)
	alice := Viewer{Person: "alice"}
	p.list(alice, "read", "Reads.")
	p.list(alice, "read", "Changed.", "extra", "New.")
	choices := p.pending("")
	store.err = errors.New("full disk")
	if err := p.Approve(t.Context(), p.place, choices); !errors.Is(err, store.err) {
		t.Errorf("%v, want %v", err, store.err)
	}
	if err := p.ApproveFor(t.Context(), p.place, "alice", choices); !errors.Is(err, store.err) {
		t.Errorf("for one person: %v, want %v", err, store.err)
	}
	none := func(p *process) {
		t.Helper()
		for _, name := range []string{"read", "extra"} {
			if got := p.Look(alice, name); got != Held {
				t.Errorf("a call of %s comes to %d, want %d", name, got, Held)
			}
		}
		if got := len(p.pending("")); got != 2 {
			t.Errorf("%d definitions wait, want 2", got)
		}
	}
	none(p)
	store.err = nil
	now = now.Add(savePause)
	p.sync()
	none(p)
	other := newProcess(t, store, "k", &now)
	other.list(alice, "read", "Changed.", "extra", "New.")
	none(other)

	if err := p.Approve(t.Context(), p.place, append(choices, choices...)); err != nil {
		t.Fatal(err)
	}
	kept, _ := p.list(alice, "read", "Changed.", "extra", "New.")
	p.want(kept, "read", "extra")
	other.sync()
	kept, _ = other.list(alice, "read", "Changed.", "extra", "New.")
	other.want(kept, "read", "extra")
}

// Of several definitions, all are approved or none.
func TestNothingIsApprovedBesideWhatIsGone(t *testing.T) {
	now := time.Now()
	p := newProcess(t, memstore.New(), "k", &now)
	var all Viewer
	p.list(all, "read", "Reads.")
	p.list(all, "read", "Changed.", "extra", "New.")
	choices := p.pending("")
	p.list(all, "read", "Changed again.")
	if err := p.Approve(t.Context(), p.place, choices); !errors.Is(err, ErrNothing) {
		t.Errorf("%v, want %v", err, ErrNothing)
	}
	if got := p.Look(all, "extra"); got != Held {
		t.Errorf("a call comes to %d, want %d", got, Held)
	}
}

// A command that is shown names server and tool, and whatever the tool is called can be
// copied into a shell.
func TestApproveCommand(t *testing.T) {
	for tool, want := range map[string]string{
		"search_pages": "search_pages", "two words": "'two words'", "$(rm -rf x)": "'$(rm -rf x)'",
		"--yes": "--all", "a\nb": "--all", "": "--all", strings.Repeat("x", maxTyped+1): "--all",
	} {
		if got, want := ApproveCommand("wiki", tool), "caddy mcp-oauth tools approve wiki "+want; got != want {
			t.Errorf("%q: got %s, want %s", tool, got, want)
		}
	}
}

// Through each client a server can list another definition. A person approves each of
// them, and sees nothing of what others are listed.
func TestPeopleApproveOfAllClients(t *testing.T) {
	now := time.Now()
	p := newProcess(t, memstore.New(), "k", &now)
	p.list(Viewer{}, "first", "")
	through := func(person, client string) Viewer {
		return Viewer{View: person + "\n\n" + client, Person: person}
	}
	p.list(through("alice", "one"), "run", "Runs.")
	p.list(through("alice", "other"), "run", "Runs otherwise.", "walk", "Walks.")
	p.list(through("alice", ""), "run", "Runs.")
	p.list(through("alicea", "one"), "hide", "Hides.")
	alice := Viewer{View: "alice\n", Person: "alice"}
	wants := func(want ...string) (choices []Choice) {
		t.Helper()
		var names []string
		for _, s := range p.WaitingFor(alice) {
			names = append(names, s.Name)
			choices = append(choices, Choice{s.Name, s.Pending[0].Hash})
		}
		if !slices.Equal(names, want) {
			t.Errorf("%q wait for alice, want %q", names, want)
		}
		return choices
	}
	choices := wants("run", "run", "walk")
	for range 20 { // also of what was listed at the same time
		if again := wants("run", "run", "walk"); !slices.Equal(again, choices) {
			t.Fatalf("%v wait in another order: %v", choices, again)
		}
	}
	if err := p.ReadyFor(t.Context(), p.place, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := p.ApproveFor(t.Context(), p.place, "alice", []Choice{{"run", define(definition("run", "Runs.")).Hash}}); err != nil {
		t.Fatal(err)
	}
	wants("run", "walk")
	for client, want := range map[string]Standing{"one": Good, "": Good, "other": Held, "third": Unseen} {
		if got := p.Look(through("alice", client), "run"); got != want {
			t.Errorf("through %q a call comes to %d, want %d", client, got, want)
		}
	}
}
