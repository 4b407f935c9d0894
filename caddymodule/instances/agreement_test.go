package instances

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A key is changed by giving it to one instance after the other, while both work: none
// ever seals what another cannot open. A key that is taken away too early is named.
func TestKeyChangeAcrossInstances_M03(t *testing.T) {
	s := newSharedStore(t)
	a, b := newProcess(s), newProcess(s)
	both := []*process{a, b}
	load := func(p *process, keys ...byte) {
		t.Helper()
		if err := p.load(ringOf(t, keys...)); err != nil {
			t.Fatal(err)
		}
	}
	turn := func(times int, want byte) {
		t.Helper()
		for range times {
			s.after(Interval)
			for _, p := range both {
				if err := p.Turn(t.Context(), p.serves); err != nil || p.Problem() != nil {
					t.Fatal(err, p.Problem())
				}
			}
		}
		for _, p := range both {
			if got := p.serves.Ring.Sealing(); got != keyID(t, want) {
				t.Errorf("%s seals with %s, want key %d: %s", p.ID(), got, want, keyID(t, want))
			}
		}
	}
	load(a, 1)
	load(b, 1)
	turn(2, 1)
	load(b, 2, 1)
	turn(100, 1) // for as long as one does not have the new key
	load(a, 2, 1)
	turn(1, 1) // another may come back
	turn(4, 2)
	err := a.load(ringOf(t, 1))
	var foreign *ForeignKeyError
	if !errors.As(err, &foreign) || !strings.Contains(err.Error(), "encryption key "+keyID(t, 2)) || !strings.Contains(err.Error(), "rotate-key --lost "+keyID(t, 2)) {
		t.Errorf("the key that seals is taken away: %v", err)
	}
	turn(2, 2)
	load(a, 2)
	load(b, 2)
	turn(2, 2)
}

// Two instances with the same keys in another order use one of them: that of the one
// that was configured last.
func TestKeysInAnotherOrder(t *testing.T) {
	s := newSharedStore(t)
	a, b := newProcess(s), newProcess(s)
	turn := func() {
		for range 5 {
			s.after(Interval)
			for _, p := range []*process{a, b} {
				if err := p.Turn(t.Context(), p.serves); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, round := range []struct {
		p    *process
		keys []byte
		want byte
	}{{a, []byte{1, 2}, 1}, {b, []byte{2, 1}, 2}, {a, []byte{1, 2}, 1}} {
		s.after(Interval)
		if err := round.p.load(ringOf(t, round.keys...)); err != nil {
			t.Fatal(err)
		}
		if b.serves != nil {
			turn()
		} else if err := a.Turn(t.Context(), a.serves); err != nil {
			t.Fatal(err)
		}
		if got := round.p.serves.Ring.Sealing(); got != keyID(t, round.want) {
			t.Errorf("after %v was loaded, %s seals", round.keys, got)
		}
	}
}

// Another installation on the same schema is refused, whoever is at work there, and
// changes nothing.
func TestTwoClustersOnOneSchema(t *testing.T) {
	s := newSharedStore(t)
	ours, stranger := newProcess(s), newProcess(s)
	if err := ours.load(ringOf(t, 1)); err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		err := stranger.load(ringOf(t, 9))
		for _, want := range []string{"postgres caddy@db/mcp_oauth is sealed with the encryption key " + keyID(t, 1), "has only " + keyID(t, 9), "a schema of its own"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", when, err, want)
			}
		}
	}
	refused("beside ours")
	if err := ours.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused("while nobody of ours is there")
	if len(s.all) != 0 {
		t.Errorf("it is announced: %v", s.all)
	}
	if err := ours.load(ringOf(t, 1)); err != nil {
		t.Errorf("ours comes back: %v", err)
	}
}

func TestKeyThatIsLost(t *testing.T) {
	s := newSharedStore(t)
	ours, later := newProcess(s), newProcess(s)
	if err := ours.load(ringOf(t, 1)); err != nil {
		t.Fatal(err)
	}
	lost := func(key byte) error {
		c := &Configuration{Ring: ringOf(t, 2), Events: later.events}
		return DeclareLost(context.Background(), s, "v1", c, keyID(t, key), s.now())
	}
	if err := lost(1); err == nil || !strings.Contains(err.Error(), "is not lost: instance "+ours.ID()) {
		t.Errorf("while an instance has it: %v", err)
	}
	s.after(time.Minute)
	if err := lost(3); err == nil || !strings.Contains(err.Error(), "not sealed with the key") {
		t.Errorf("another key: %v", err)
	}
	if err := later.load(ringOf(t, 2)); err == nil {
		t.Error("it is accepted before")
	}
	if err := lost(1); err != nil {
		t.Error(err)
	}
	if err := later.load(ringOf(t, 2)); err != nil {
		t.Errorf("after it was declared lost: %v", err)
	}
}

// Whatever is loaded where and when, and whoever dies: what an instance seals that is
// at work, all others at work can open.
func TestAllCanOpen_M03(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSharedStore(t)
		all := []*process{newProcess(s), newProcess(s), newProcess(s)}
		keys := rapid.SliceOfNDistinct(rapid.ByteRange(1, 3), 1, 3, rapid.ID)
		alive := func() (alive []*process) {
			for _, p := range all {
				if p.serves != nil {
					alive = append(alive, p)
				}
			}
			return alive
		}
		rt.Repeat(map[string]func(*rapid.T){
			"load": func(rt *rapid.T) {
				p := rapid.SampledFrom(all).Draw(rt, "process")
				var foreign *ForeignKeyError
				if err := p.load(ringOf(rt, keys.Draw(rt, "keys")...)); err != nil && !errors.As(err, &foreign) {
					rt.Fatal(err)
				}
			},
			"time": func(rt *rapid.T) {
				s.after(Interval)
				for _, p := range rapid.Permutation(alive()).Draw(rt, "order") {
					if err := p.Turn(context.Background(), p.serves); err != nil || p.Problem() != nil {
						rt.Fatal(err, p.Problem())
					}
				}
			},
			"die": func(rt *rapid.T) { rapid.SampledFrom(all).Draw(rt, "process").serves = nil },
			"leave": func(rt *rapid.T) {
				p := rapid.SampledFrom(all).Draw(rt, "process")
				p.serves = nil
				if err := p.Leave(context.Background()); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				for _, by := range alive() {
					box := by.serves.Ring.Seal([]byte("x"))
					for _, p := range alive() {
						if _, err := p.serves.Ring.Open(box); err != nil {
							rt.Fatalf("what %s seals, %s cannot open", by.ID(), p.ID())
						}
					}
				}
			},
		})
	})
}
