package access

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// whoChose is somebody who lets a client use this much.
func whoChose(c storage.Choice) Who {
	return Who{Identity: &storage.Identity{Kind: "anonymous", Subject: "anonymous:1"}, Chosen: NewChosen(c)}
}

func TestChosen(t *testing.T) {
	some := storage.Choice{Tools: []string{"create", "Delete_Page"}, Without: []string{"drop", "Purge"}}
	with := func(others storage.Others) storage.Choice {
		c := some
		c.Others = others
		return c
	}
	for _, test := range []struct {
		choice      storage.Choice
		name        string
		annotations Annotations
		want, asks  bool
	}{
		{with(storage.NoOthers), "create", 0, true, false},
		{with(storage.NoOthers), "Create", Known | ReadOnly, false, false},
		{with(storage.NoOthers), "create ", Known | ReadOnly, false, false},
		{with(storage.NoOthers), "Delete_Page", 0, true, false},
		{with(storage.NoOthers), "delete_page", 0, false, false},
		{with(storage.NoOthers), "other", Known | ReadOnly, false, false},
		{with(storage.ReadOnlyOthers), "create", 0, true, false},
		{with(storage.ReadOnlyOthers), "other", Known | ReadOnly, true, false},
		{with(storage.ReadOnlyOthers), "other", Known, false, false},
		{with(storage.ReadOnlyOthers), "other", 0, false, true},
		{with(storage.ReadOnlyOthers), "drop", Known | ReadOnly, false, false},
		{with(storage.ReadOnlyOthers), "DROP", Known | ReadOnly, false, false},
		{with(storage.AllOthers), "other", 0, true, false},
		{with(storage.AllOthers), "drop", Known | ReadOnly, false, false},
		{with(storage.AllOthers), "ｄrop", 0, false, false},
		{with(storage.AllOthers), "dr\u200bop", 0, false, false},
		{with(storage.AllOthers), "purge", 0, false, false},
		{with(storage.AllOthers), strings.Repeat("x", MaxName+1), 0, false, false},
		{storage.Choice{Others: "of a newer version"}, "other", Known, false, false},
	} {
		d := (*Rules)(nil).Decide(whoChose(test.choice), Item{Kind: Tool, Name: test.name, Annotations: test.annotations})
		if d.Allowed != test.want || d.NotChosen == test.want || d.NeedsAnnotations != test.asks {
			t.Errorf("%v: %q with %b: got %+v, want %t, asking %t", test.choice.Others, test.name, test.annotations, d, test.want, test.asks)
		}
	}
	nothing := whoChose(storage.Choice{Others: storage.NoOthers})
	if !(*Rules)(nil).Nothing(nothing, Tool) || (*Rules)(nil).Nothing(nothing, Prompt) || (*Rules)(nil).Nothing(whoChose(some), Tool) {
		t.Error("of whom nothing is left is not told")
	}
	for _, kind := range []Kind{Resource, ResourceTemplate, Prompt} {
		if d := (*Rules)(nil).Decide(nothing, Item{Kind: kind, Name: "x"}); !d.Allowed {
			t.Errorf("a %v: got %+v", kind, d)
		}
	}
}

// Whatever somebody chooses, they let a client use no more than the rules do, and
// nothing that they did not mean to.
func TestChosenOnlyNarrows(t *testing.T) {
	names := rapid.SampledFrom([]string{"create", "Create", "delete", "delete ", "read", "ＲＥＡＤ", "list", "other"})
	rapid.Check(t, func(t *rapid.T) {
		rules := new(Rules)
		for range rapid.IntRange(0, 1).Draw(t, "rules") {
			if err := rules.Add(Tool, []Rule{{Deny: []string{"de*"}}, {Allow: []string{"*"}, Annotations: []string{"read_only"}}, {Allow: []string{strings.ReplaceAll(names.Draw(t, "allowed"), " ", "*")}}}); err != nil {
				t.Fatal(err)
			}
		}
		choice := storage.Choice{
			Tools: rapid.SliceOfDistinct(names, rapid.ID).Draw(t, "tools"), Without: rapid.SliceOfDistinct(names, rapid.ID).Draw(t, "without"),
			Others: rapid.SampledFrom([]storage.Others{storage.NoOthers, storage.ReadOnlyOthers, storage.AllOthers}).Draw(t, "others"),
		}
		item := Item{Kind: Tool, Name: names.Draw(t, "name"), Annotations: rapid.SampledFrom([]Annotations{0, Known, Known | ReadOnly}).Draw(t, "annotations")}
		who := whoChose(choice)
		d := rules.Decide(who, item)
		who.Chosen = nil
		byRules := rules.Decide(who, item)
		ticked, readOnly := contains(choice.Tools, item.Name), item.Annotations&ReadOnly != 0
		left := contains(choice.Without, item.Name)
		meant := ticked || !left && (choice.Others == storage.AllOthers || choice.Others == storage.ReadOnlyOthers && readOnly)
		if d.Allowed && (!byRules.Allowed || !meant) {
			t.Fatalf("%+v lets %+v be used: %+v; by the rules alone %+v", choice, item, d, byRules)
		}
		if ticked && byRules.Allowed && !d.Allowed {
			t.Fatalf("%+v does not let %+v be used, which was chosen: %+v", choice, item, d)
		}
	})
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

func TestChoicesAreOfTheirResource(t *testing.T) {
	choices := NewChoices([]storage.Choice{{Resource: "https://a", Others: storage.NoOthers}, {Resource: "https://b", Others: storage.AllOthers}})
	if choices.At("https://a").others != storage.NoOthers || choices.At("https://b").others != storage.AllOthers || choices.At("https://c") != nil || NewChoices(nil) != nil {
		t.Errorf("got %+v", choices)
	}
}

func BenchmarkChosen(b *testing.B) {
	c := storage.Choice{Others: storage.AllOthers}
	for _, name := range strings.Split(strings.Repeat("abcdefghijklmnopqrstuvwxyz", 9), "") {
		c.Without = append(c.Without, name+"_tool")
	}
	who := whoChose(c)
	b.ReportAllocs()
	for b.Loop() {
		if !(*Rules)(nil).Decide(who, Item{Kind: Tool, Name: "some_other_tool"}).Allowed {
			b.Fatal("denied")
		}
	}
}
