package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp/lists"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// newListPolicy returns the policy of a caller at a server with rules for its tools.
func newListPolicy(t testing.TB, offers *catalog.Server, rules ...access.Rule) *listPolicy {
	t.Helper()
	compiled := new(access.Rules)
	if err := compiled.Add(access.Tool, rules); err != nil {
		t.Fatal(err)
	}
	server := &Server{Server: &config.Server{Rules: compiled}, Offers: offers}
	return &listPolicy{
		call: &Call{server: server, judged: new(judged)},
		who:  access.Who{Identity: &storage.Identity{Kind: "virtual_key", Subject: "virtual_key:alice", Name: "alice"}, Name: "alice"},
	}
}

// items are how servers may write tools. Some are none, or are called in several ways.
var items = []string{
	`{"name":"read"}`, `{"name":"read","annotations":{"readOnlyHint":true}}`, `{"annotations":{"readOnlyHint":false},"name":"read"}`,
	`{"name":"allowed_1","description":"\"name\":\"denied\""}`, `{ "name" : "allowed_2" , "inputSchema":{"a":[{},[]]}}`, `{"n\u0061me":"allowed_3"}`,
	`{"name":"denied_1","annotations":{"readOnlyHint":true}}`, `{"name":"other","annotations":{"readOnlyHint":true,"x":{"readOnlyHint":false}}}`,
	`{"name":"allowed_4","name":"denied"}`, `{"NAME":"allowed_5"}`, `{}`, `1`, `["allowed"]`, `"allowed"`, `{"name":"allowed_1"}`, `{"name":"allowed_"}`,
}

// keptOf is what a reader that builds a tree keeps of a list, and what it is told.
func keptOf(list []string, said map[string]bool) (kept []string) {
	for _, text := range list {
		var members map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &members) != nil || strings.Count(text, `"name":"denied"`) == 1 && !strings.Contains(text, `\"name`) {
			continue
		}
		var item struct {
			Annotations struct{ ReadOnlyHint bool }
		}
		var name string
		if json.Unmarshal(members["name"], &name) != nil || json.Unmarshal([]byte(text), &item) != nil {
			continue
		}
		said[name] = item.Annotations.ReadOnlyHint
		if !strings.HasPrefix(name, "denied") && (item.Annotations.ReadOnlyHint || strings.HasPrefix(name, "allowed_")) {
			kept = append(kept, text)
		}
	}
	return kept
}

// counting counts the items that need not be read.
type counting struct {
	*listPolicy
	known *int
}

func (c counting) Known(kind access.Kind, text []byte) (size int, keep bool) {
	if size, keep = c.listPolicy.Known(kind, text); size > 0 {
		*c.known++
	}
	return size, keep
}

// Whatever a server listed before, of a list stays what a reader that builds a tree
// would keep, in whatever form and pieces it comes; and what the server said last is
// known.
func TestListsThatRepeat(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1)) // a failure shows its list
	offers := catalog.New().Of("https://a", "one")
	rules := []access.Rule{{Deny: []string{"denied*"}}, {Allow: []string{"*"}, Annotations: []string{"read_only"}}, {Allow: []string{"allowed_*"}}}
	said := map[string]bool{}
	var list []string
	guessed := 0
	for round := range 3000 {
		switch { // most lists are nearly as the one before
		case round%50 == 0:
			list = nil
			for range rng.IntN(9) {
				list = append(list, items[rng.IntN(len(items))])
			}
		case len(list) > 0 && rng.IntN(3) == 0:
			list[rng.IntN(len(list))] = items[rng.IntN(len(items))]
		case rng.IntN(4) == 0:
			list = slices.Insert(list, rng.IntN(len(list)+1), items[rng.IntN(len(items))])
		}
		answer := func(list []string) string {
			return `{"id":1,"result":{"tools":[` + strings.Join(list, ",") + `],"x":[{"name":"denied"}]}}`
		}
		form := []string{"%s", "[%s]", " %s\n"}[rng.IntN(3)]
		events := form == "%s" && rng.IntN(2) == 0
		if events {
			form = "id: 1\ndata: %s\n\n"
		}
		sent, want := fmt.Sprintf(form, answer(list)), fmt.Sprintf(form, answer(keptOf(list, said)))
		var source io.Reader = strings.NewReader(sent)
		if rng.IntN(3) == 0 {
			source = iotest.HalfReader(iotest.OneByteReader(source))
		}
		got, err := io.ReadAll(lists.NewBody(io.NopCloser(source), counting{newListPolicy(t, offers, rules...), &guessed}, events))
		if err != nil || string(got) != want {
			t.Fatalf("round %d, %v\n got %s\nwant %s\n of  %s", round, err, got, want, sent)
		}
	}
	if guessed < 3000 {
		t.Errorf("only %d items were taken for known", guessed)
	}
	for name, readOnly := range said {
		if got := offers.Look(access.Tool, name)&access.ReadOnly != 0; got != readOnly {
			t.Errorf("%s is read only: %t, want what was said last, %t", name, got, readOnly)
		}
	}
}

// unguessed has each item read.
type unguessed struct{ *listPolicy }

func (unguessed) Known(access.Kind, []byte) (int, bool) { return 0, false }

// BenchmarkList is what it costs to filter a list that the server wrote before, and one
// that it writes for the first time, by ten rules.
func BenchmarkList(b *testing.B) {
	var rules []access.Rule
	for i := range 9 {
		rules = append(rules, access.Rule{Deny: []string{fmt.Sprintf("delete_%d_*", i)}})
	}
	rules = append(rules, access.Rule{Allow: []string{"*_1*", "*_2*", "*_3*", "*_4*"}})
	for _, n := range []int{10, 500, 5000} {
		list := largeList(n)
		for _, known := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d/known=%t", n, known), func(b *testing.B) {
				source, piece, offers := bytes.NewReader(list), make([]byte, 32<<10), catalog.New().Of("a", "b")
				policy := newListPolicy(b, offers, rules...)
				b.SetBytes(int64(len(list)))
				b.ReportAllocs()
				var before, after syscall.Rusage
				filter := func() {
					source.Reset(list)
					policy.last = nil
					var by lists.Policy = policy
					if !known {
						by = unguessed{policy}
					}
					body := lists.NewBody(io.NopCloser(source), by, false)
					body.Expect(int64(len(list)))
					if _, err := body.Begin(heldAnswer); err != nil {
						b.Fatal(err)
					}
					if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{body}, piece); err != nil {
						b.Fatal(err)
					}
				}
				filter()
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
				for b.Loop() {
					filter()
				}
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
				b.ReportMetric(float64(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano())/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// largeList is a list of n tools as servers write them.
func largeList(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"jsonrpc":"2.0","id":1,"result":{"tools":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"create_issue_%d","title":"Create an issue","description":"Creates an issue in a repository. Give it a title that says what is wrong, and what was expected.","inputSchema":{"type":"object","properties":{"owner":{"type":"string","description":"Who owns the repository"},"repo":{"type":"string"},"title":{"type":"string"},"labels":{"type":"array","items":{"type":"string"}}},"required":["owner","repo","title"]},"annotations":{"readOnlyHint":false,"destructiveHint":false}}`, i)
	}
	b.WriteString(`]}}`)
	return b.Bytes()
}
