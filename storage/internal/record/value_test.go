package record

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNothingIsSweptEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		end := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "end"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns"))
		now := end.Add(time.Duration(rapid.Int64Range(-3e9, 3e9).Draw(t, "later")))
		over := Until(end).Over(now)
		if over && end.After(now) {
			t.Fatalf("swept at %v, ends at %v", now, end)
		}
		if !over && !now.Before(end.Add(2*time.Second)) {
			t.Fatalf("still there at %v, ended at %v", now, end)
		}
	})
	if Forever.Over(time.Unix(1<<40, 0)) {
		t.Fatal("what is kept forever is over")
	}
	if !Until(time.Time{}).Over(time.Unix(0, 0)) {
		t.Fatal("a record without an end is kept")
	}
}

func TestDamagedValues(t *testing.T) {
	for name, v := range map[string][]byte{
		"empty":         {},
		"short":         New(Forever, 0)[:valueHeader-1],
		"other version": append([]byte{valueVersion + 1}, New(Forever, 0)[1:]...),
	} {
		if _, _, err := Open(v); err != ErrCorrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}
