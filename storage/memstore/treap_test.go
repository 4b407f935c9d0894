package memstore

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The treap is compared with a map, and every older root with a copy made
// when it was current: nothing that was published may change.
func TestTreap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[a-d]{0,3}`)
		var root *node
		model := map[string]string{}
		type snapshot struct {
			root  *node
			model map[string]string
		}
		var old []snapshot
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), rapid.StringMatching(`[0-9]`).Draw(t, "value")
				root = root.insert(k, []byte(v), rapid.Uint64().Draw(t, "weight"))
				model[k] = v
			},
			"delete": func(t *rapid.T) {
				k := key.Draw(t, "key")
				root = root.remove([]byte(k))
				delete(model, k)
			},
			"keep": func(*rapid.T) { old = append(old, snapshot{root, maps.Clone(model)}) },
			"": func(t *rapid.T) {
				same(t, root, model, key.Draw(t, "from"))
				for _, s := range old {
					same(t, s.root, s.model, "")
				}
			},
		})
	})
}

func same(t *rapid.T, root *node, model map[string]string, from string) {
	want := slices.DeleteFunc(slices.Sorted(maps.Keys(model)), func(k string) bool { return k < from })
	var got []string
	root.ascend(from, func(k, v []byte) bool {
		got = append(got, string(k))
		if string(v) != model[string(k)] || string(root.get(k)) != string(v) {
			t.Fatalf("%q is %q, want %q", k, v, model[string(k)])
		}
		return true
	})
	if !slices.Equal(got, want) {
		t.Fatalf("from %q: keys %q, want %q", from, got, want)
	}
	if root.get([]byte("z")) != nil {
		t.Fatal("found what is not there")
	}
	n := 0
	root.ascend("", func(_, _ []byte) bool { n++; return n < 2 })
	if n > 2 {
		t.Fatal("the scan went on after it was stopped")
	}
}
