package lists

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

// onlyAllowed keeps what is named so, or is said to be read only.
type onlyAllowed struct {
	nothing []access.Kind
	seen    []string
}

func (p *onlyAllowed) Keep(item access.Item, definition []byte) bool {
	p.seen = append(p.seen, fmt.Sprintf("%v %s %d", item.Kind, item.Name, item.Annotations))
	return strings.HasPrefix(item.Name, "allowed") || item.Annotations&access.ReadOnly != 0
}

func (p *onlyAllowed) Nothing(kind access.Kind) bool { return slices.Contains(p.nothing, kind) }

func (p *onlyAllowed) Next(cursor []byte) { p.seen = append(p.seen, "next "+string(cursor)) }

// filtered returns what is read of an answer that comes in pieces.
func filtered(answer string, events bool, size int, p Policy) (string, error) {
	var source io.Reader = strings.NewReader(answer)
	if size > 0 {
		source = &pieced{answer, size}
	}
	got, err := io.ReadAll(NewBody(io.NopCloser(source), p, events))
	return string(got), err
}

type pieced struct {
	rest string
	size int
}

func (r *pieced) Read(p []byte) (int, error) {
	if r.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(r.size, len(r.rest))])
	r.rest = r.rest[n:]
	return n, nil
}

func TestFilter(t *testing.T) {
	for answer, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"allowed"},{"name":"other"}],"nextCursor":"n"}}`:          `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"allowed"}],"nextCursor":"n"}}`,
		`{"result":{"tools":[ {"name":"other"} , { "name" : "allowed1" },{"name":"allowed2", "x":[1,{}]} ]}, "id":1}`: `{"result":{"tools":[{ "name" : "allowed1" },{"name":"allowed2", "x":[1,{}]}]}, "id":1}`,
		`{"result":{"tools":[{"name":"other"}]}}`: `{"result":{"tools":[]}}`,
		`{"result":{"tools":[]}}`:                 `{"result":{"tools":[]}}`,
		`{"result":{"tools":[{"description":"\"name\":\"allowed\"","name":"other"},{"n\u0061me":"a\u006clowed"}]}}`:                                                                                `{"result":{"tools":[{"n\u0061me":"a\u006clowed"}]}}`,
		`{"result":{"tools":[{"name":"other","inputSchema":{"name":"allowed","annotations":{"readOnlyHint":true}}}]}}`:                                                                             `{"result":{"tools":[]}}`,
		`{"result":{"tools":[{"annotations":{"title":"x","readOnlyHint":true},"name":"r"},{"name":"s","annotations":{"readOnlyHint":false}},{"name":"t","annotations":[{"readOnlyHint":true}]}]}}`: `{"result":{"tools":[{"annotations":{"title":"x","readOnlyHint":true},"name":"r"}]}}`,
		`{"result":{"tools":[{"name":"other","name":"allowed"},{"name":["allowed"]},"allowed",["allowed"],1,null,{"Name":"allowed"},{}]}}`:                                                         `{"result":{"tools":[]}}`,
		`{"result":{"resources":[{"name":"allowed","uri":"other"},{"uri":"allowed:"}],"cacheScope":"public","ttlMs":5}}`:                                                                           `{"result":{"resources":[{"uri":"allowed:"}],"cacheScope":"private","ttlMs":5}}`,
		`{"result":{"cacheScope" : "public","resourceTemplates":[{"uriTemplate":"{x}"},{"uriTemplate":"allowed{x}"}]}}`:                                                                            `{"result":{"cacheScope" : "private","resourceTemplates":[{"uriTemplate":"allowed{x}"}]}}`,
		`{"result":{"prompts":[{"name":"other"},{"name":"allowed"}]}}`:                                                                                                                             `{"result":{"prompts":[{"name":"allowed"}]}}`,
		`[{"result":{"tools":[{"name":"other"}]}},{"id":2,"result":{"prompts":[{"name":"other"},{"name":"allowed"}]}}]`:                                                                            `[{"result":{"tools":[]}},{"id":2,"result":{"prompts":[{"name":"allowed"}]}}]`,
		`{"result":{"content":[{"text":"{\"result\":{\"tools\":[{\"name\":\"other\"}]}}"}],"structuredContent":{"tools":[{"name":"other"}]}}}`:                                                     `{"result":{"content":[{"text":"{\"result\":{\"tools\":[{\"name\":\"other\"}]}}"}],"structuredContent":{"tools":[{"name":"other"}]}}}`,
		`{"method":"x","params":{"tools":[{"name":"other"}]}}`:                                                                                                                                     `{"method":"x","params":{"tools":[{"name":"other"}]}}`,
		`{"result":{"capabilities":{"tools":{"listChanged":true},"prompts":{},"logging":{}},"serverInfo":{"name":"x"}}}`:                                                                           `{"result":{"capabilities":{"logging":{},"tools":{"listChanged":true}},"serverInfo":{"name":"x"}}}`,
		`{"result":{"capabilities":{ "tools":{}}}}`:                                                                                                                                                `{"result":{"capabilities":{ "tools":{}}}}`,
		`Not found`:    `Not found`,
		` <html>`:      ` <html>`,
		``:             ``,
		"{\"a\":1}\n ": "{\"a\":1}\n ",
	} {
		for size := range min(len(answer), 40) + 1 {
			got, err := filtered(answer, false, size, &onlyAllowed{nothing: []access.Kind{access.Prompt}})
			if err != nil || got != want {
				t.Fatalf("by %d, %v\n got %s\nwant %s\n of  %s", size, err, got, want, answer)
			}
		}
	}
}

// The policy is told what a call would be judged by.
func TestFilterTellsItems(t *testing.T) {
	p := new(onlyAllowed)
	_, err := filtered(`{"result":{"tools":[{"name":"a","annotations":{"destructiveHint":false,"idempotentHint":true,"openWorldHint":false}},{"name":"b"}],"nextCursor":"n\u0031","resources":[{"uri":"c"}]}}`, false, 0, p)
	open := access.Known | access.NotDestructive | access.Idempotent | access.ClosedWorld
	if want := []string{fmt.Sprintf("tool a %d", open), "tool b 1", `next "n\u0031"`, "resource c 1"}; err != nil || !slices.Equal(p.seen, want) {
		t.Errorf("%v, %v, want %v", p.seen, err, want)
	}
}

func TestUnreadableAnswers(t *testing.T) {
	for answer, want := range map[string]error{
		`{"result":{"tools":[{"name":"allowed"}`:  errSyntax,
		`{"result":{"tools":[{"name":"allowed"]}`: errSyntax,
		`{"result":{}}{"result":{"tools":[]}}`:    errSyntax,
		`{"result":{}},`:                          errSyntax,
		`{"result":{}} "x"`:                       errSyntax,
		`{"result":"`:                             errSyntax,
		"\ufeff{}":                                errEncoding,
		"\xff\xfe{\x00":                           errEncoding,
		"{\x00\"\x00r\x00":                        errSyntax,
		"\x00{":                                   errEncoding,
		strings.Repeat("[", 600):                  errDepth,
		`{"result":{"tools":[{"name":"` + strings.Repeat("x", maxHeld+maxHeld/2) + `"}]}}`: errTooLarge,
	} {
		b := NewBody(io.NopCloser(&pieced{answer, 4 << 10}), new(onlyAllowed), false)
		if whole, err := b.Begin(8 << 20); !errors.Is(err, want) || whole != -1 {
			t.Errorf("%.100s: %d, %v, want %v", answer, whole, err, want)
		}
	}
	for stream, want := range map[string]error{
		"data: {\n\n":                  errSyntax,
		"data: {}}\n\n":                errSyntax,
		"data: {\"a\ndata: b\":1}\n\n": errSplit,
		"\ufeffdata: {}\n\n":           errEncoding,
		"data: \ufeff{}\n\n":           errEncoding,
	} {
		if got, err := filtered(stream, true, 0, new(onlyAllowed)); !errors.Is(err, want) {
			t.Errorf("%q: %q, %v, want %v", stream, got, err, want)
		}
	}
}

func TestFilterEvents(t *testing.T) {
	list := `{"id":1,"result":{"tools":[{"name":"other"},{"name":"allowed"}]}}`
	kept := `{"id":1,"result":{"tools":[{"name":"allowed"}]}}`
	for stream, want := range map[string]string{
		"event: message\nid: 7\ndata: " + list + "\n\n":   "event: message\nid: 7\ndata: " + kept + "\n\n",
		"data:" + list + "\r\rdata: " + list + "\r\n\r\n": "data:" + kept + "\r\rdata: " + kept + "\r\n\r\n",
		": ping\n\nid: 1\ndata: \n\nretry: 5\n\ndata\n\n": ": ping\n\nid: 1\ndata: \n\nretry: 5\n\ndata\n\n",
		"event: endpoint\ndata: /messages?session=1\n\n":  "event: endpoint\ndata: /messages?session=1\n\n",
		"data: {\"result\":{\"tools\":[\ndata: {\"name\":\ndata: \"other\"},\nid: 3\ndata: {\"name\":\ndata: \"allowed\"}\ndata: ]\ndata: }}\n\n": "data: {\"result\":{\"tools\":[{\"name\":\"allowed\"}]\ndata: }}\nid: 3\n\n",
		"datas: " + list + "\n\n":                   "datas: " + list + "\n\n",
		"data: {\"method\":\"x\"}\n\ndata: " + list: "data: {\"method\":\"x\"}\n\ndata: " + kept,
	} {
		for size := range min(len(stream), 40) + 1 {
			got, err := filtered(stream, true, size, new(onlyAllowed))
			if err != nil || got != want {
				t.Fatalf("by %d, %v\n got %q\nwant %q\n of  %q", size, err, got, want, stream)
			}
		}
	}
}

// An answer that breaks off stays broken off.
func TestAnswerBreaksOff(t *testing.T) {
	failed := errors.New("reset")
	b := NewBody(io.NopCloser(io.MultiReader(strings.NewReader(`{"result":{"x":1`), iotest.ErrReader(failed))), new(onlyAllowed), false)
	if whole, err := b.Begin(1 << 10); whole != -1 || err != nil {
		t.Errorf("%d, %v", whole, err)
	}
	if got, err := io.ReadAll(b); !errors.Is(err, failed) || string(got) != `{"result":{"x":1` {
		t.Errorf("%q, %v", got, err)
	}
}

// reference filters what encoding/json reads.
func reference(v any, p Policy) any {
	if batch, ok := v.([]any); ok {
		for i := range batch {
			if _, message := batch[i].(map[string]any); message {
				batch[i] = reference(batch[i], p)
			}
		}
		return batch
	}
	m, _ := v.(map[string]any)
	result, ok := m["result"].(map[string]any)
	if !ok {
		return v
	}
	if _, ok := result["cacheScope"].(string); ok {
		result["cacheScope"] = "private"
	}
	for member, key := range map[string]string{"tools": "name", "resources": "uri", "resourceTemplates": "uriTemplate", "prompts": "name"} {
		list, ok := result[member].([]any)
		if !ok {
			continue
		}
		result[member] = slices.DeleteFunc(list, func(item any) bool {
			m, _ := item.(map[string]any)
			name, named := m[key].(string)
			annotations, _ := m["annotations"].(map[string]any)
			readOnly, _ := annotations["readOnlyHint"].(bool)
			return !named || !strings.HasPrefix(name, "allowed") && !readOnly
		})
	}
	return v
}

// What is read of an answer is what a reader that builds a tree would have filtered,
// in whatever pieces it comes, as JSON or as an event.
func FuzzFilter(f *testing.F) {
	f.Add([]byte(`{"id":1,"result":{"tools":[{"name":"allowed","x":"\\\""},{"name":"o","annotations":{"readOnlyHint":true}}],"cacheScope":"public"}}`), 5)
	f.Add([]byte(`[{"result":{"prompts":[{"name":"x"},1]}},[],{"result":[]}]`), 1)
	f.Fuzz(func(t *testing.T, answer []byte, size int) {
		size = max(1, size%100)
		got, err := filtered(string(answer), false, size, new(onlyAllowed))
		whole, wholeErr := filtered(string(answer), false, 0, new(onlyAllowed))
		// Of what breaks off, pieces may have passed on more before.
		if same := got == whole || err != nil && strings.HasPrefix(got, whole); !same || !errors.Is(err, wholeErr) {
			t.Fatalf("%q: %q, %v by %d; %q, %v whole", answer, got, err, size, whole, wholeErr)
		}
		var before any
		if trimmed := bytes.TrimSpace(answer); err != nil || len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[' || json.Unmarshal(answer, &before) != nil || repeats(answer) {
			return
		}
		var after any
		if err := json.Unmarshal([]byte(got), &after); err != nil {
			t.Fatalf("%q became %q: %v", answer, got, err)
		}
		if want := reference(before, new(onlyAllowed)); !reflect.DeepEqual(after, want) {
			t.Fatalf("%q became %v, want %v", answer, after, want)
		}
		if bytes.ContainsAny(answer, "\r\n") {
			return
		}
		event, err := filtered("data:"+string(answer)+"\n\n", true, size, new(onlyAllowed))
		if err != nil || event != "data:"+got+"\n\n" {
			t.Fatalf("as an event %q, %v; want %q", event, err, got)
		}
	})
}

// repeats reports whether a text has names that repeat, of which a tree has the last,
// or halves of characters, which it has not.
func repeats(text []byte) bool {
	return bytes.Contains(text, []byte(`\ud`)) || strictjson.Check(slices.Concat([]byte(`{"x":`), text, []byte(`}`)), 1<<20) != nil
}

// largeList is a list of n tools as servers write them.
func largeList(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"jsonrpc":"2.0","id":1,"result":{"tools":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		name := "allowed"
		if i%2 == 1 {
			name = "other"
		}
		fmt.Fprintf(&b, `{"name":"%s_%d","title":"Create an issue","description":"Creates an issue in a repository. Give it a title that says what is wrong, and what was expected.","inputSchema":{"type":"object","properties":{"owner":{"type":"string","description":"Who owns the repository"},"repo":{"type":"string"},"title":{"type":"string"},"labels":{"type":"array","items":{"type":"string"}}},"required":["owner","repo","title"]},"annotations":{"readOnlyHint":false,"destructiveHint":false}}`, name, i)
	}
	b.WriteString(`]}}`)
	return b.Bytes()
}

// names is a policy that costs next to nothing.
type names struct{}

func (names) Keep(item access.Item, _ []byte) bool { return strings.HasPrefix(item.Name, "allowed") }
func (names) Nothing(access.Kind) bool             { return false }
func (names) Next([]byte)                          {}

func BenchmarkFilter(b *testing.B) {
	for _, n := range []int{10, 500, 5000} {
		answer := largeList(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(answer)))
			b.ReportAllocs()
			began := cpu()
			defer func() { b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op") }()
			for b.Loop() {
				body := NewBody(io.NopCloser(bytes.NewReader(answer)), names{}, false)
				if _, err := body.Begin(16 << 20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func cpu() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
