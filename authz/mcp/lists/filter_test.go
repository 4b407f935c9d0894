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
	ended   []string // lists
}

func (p *onlyAllowed) Keep(kind access.Kind, name []byte, said access.Annotations, _ []byte) bool {
	p.seen = append(p.seen, fmt.Sprintf("%v %s %d", kind, name, said))
	return bytes.HasPrefix(name, []byte("allowed")) || said&access.ReadOnly != 0
}

func (*onlyAllowed) Known(access.Kind, []byte) (int, bool) { return 0, false }

func (p *onlyAllowed) Nothing(kind access.Kind) bool { return slices.Contains(p.nothing, kind) }

func (p *onlyAllowed) Next(cursor []byte) { p.seen = append(p.seen, "next "+string(cursor)) }

func (p *onlyAllowed) Listed(kind access.Kind, last bool) {
	p.ended = append(p.ended, fmt.Sprintf("%v %t", kind, last))
}

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
		`{"result":{"tools":[{"name":"allowed","Name":"other"},{"NAME":"other","name":"allowed"},{"name":"allowed","title":"Name"}]}}`:                                                             `{"result":{"tools":[{"name":"allowed","title":"Name"}]}}`,
		`{"result":{"resources":[{"uri":"allowed","ur\u0131":"other"}],"capab\u0131l\u0131ties":{"prompts":{}}}}`:                                                                                  `{"result":{"resources":[],"capab\u0131l\u0131ties":{}}}`,
		`{"result":{"resources":[{"name":"allowed","uri":"other"},{"uri":"allowed:"}],"cacheScope":"public","ttlMs":5}}`:                                                                           `{"result":{"resources":[{"uri":"allowed:"}],"cacheScope":"private","ttlMs":5}}`,
		`{"result":{"cacheScope" : "public","resourceTemplates":[{"uriTemplate":"{x}"},{"uriTemplate":"allowed{x}"}]}}`:                                                                            `{"result":{"cacheScope" : "private","resourceTemplates":[{"uriTemplate":"allowed{x}"}]}}`,
		`{"result":{"prompts":[{"name":"other"},{"name":"allowed"}]}}`:                                                                                                                             `{"result":{"prompts":[{"name":"allowed"}]}}`,
		`[{"result":{"tools":[{"name":"other"}]}},{"id":2,"result":{"prompts":[{"name":"other"},{"name":"allowed"}]}}]`:                                                                            `[{"result":{"tools":[]}},{"id":2,"result":{"prompts":[{"name":"allowed"}]}}]`,
		`{"result":{"content":[{"text":"{\"result\":{\"tools\":[{\"name\":\"other\"}]}}"}],"structuredContent":{"tools":[{"name":"other"}]}}}`:                                                     `{"result":{"content":[{"text":"{\"result\":{\"tools\":[{\"name\":\"other\"}]}}"}],"structuredContent":{"tools":[{"name":"other"}]}}}`,
		`{"Result":{"TOOLS":[{"name":"other"}],"re\u017fources":[{"uri":"other"}],"Capabilities":{"prompts":{}},"cache\u0053cope":"public"}}`:                                                      `{"Result":{"TOOLS":[],"re\u017fources":[],"Capabilities":{},"cache\u0053cope":"private"}}`,
		`{"method":"x","params":{"tools":[{"name":"other"}]}}`:                                                                                                                                     `{"method":"x","params":{"tools":[{"name":"other"}]}}`,
		`{"result":{"capabilities":{"tools":{"listChanged":true},"prompts":{},"logging":{}},"serverInfo":{"name":"x"}}}`:                                                                           `{"result":{"capabilities":{"logging":{},"tools":{"listChanged":true}},"serverInfo":{"name":"x"}}}`,
		`{"result":{"capabilities":{ "tools":{}}}}`: `{"result":{"capabilities":{ "tools":{}}}}`,
		`Not found`:    `Not found`,
		`/not/found`:   `/not/found`,
		`/`:            `/`,
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
		// What lenient readers take for JSON.
		`/* */{"result":{"tools":[{"name":"other"}]}}`:            errSyntax,
		"//\n{\"result\":{}}":                                     errSyntax,
		"#\n{\"result\":{}}":                                      errSyntax,
		")]}'\n{\"result\":{}}":                                   errSyntax,
		`{result:{"tools":[{"name":"other"}]}}`:                   errSyntax,
		`{'result':{"tools":[{"name":"other"}]}}`:                 errSyntax,
		`{"result":{tools:[{"name":"other"}]}}`:                   errSyntax,
		`{"a":/*"*/1,"result":{"tools":[]}/*"*/}`:                 errSyntax,
		`{"x":{/*"*/},"result":{"tools":[]},"y":{/*"*/}}`:         errSyntax,
		`{"x":{"k":'"'},"result":{"tools":[]},"y":['"']}`:         errSyntax,
		`{"x":{"k":a"},"result":{"tools":[]},"y":[a"]}`:           errSyntax,
		`{"x":a","result":{"tools":[]},"y":"b`:                    errSyntax,
		"{\"x\":{#\"\n},\"result\":{\"tools\":[]},\"y\":[#\"\n]}": errSyntax,
		"\xff\xfe{\x00":                                           errEncoding,
		"{\x00\"\x00r\x00":                                        errSyntax,
		"\x00{":                                                   errEncoding,
		strings.Repeat("[", 600):                                  errDepth,
		`{"result":{"tools":[{"name":"` + strings.Repeat("x", maxHeld+maxHeld/2) + `"}]}}`: errTooLarge,
	} {
		b := NewBody(io.NopCloser(&pieced{answer, 4 << 10}), new(onlyAllowed), false)
		if whole, err := b.Begin(8 << 20); !errors.Is(err, want) || whole != -1 {
			t.Errorf("%.100s: %d, %v, want %v", answer, whole, err, want)
		}
	}
	for stream, want := range map[string]error{
		"data: {\n\n":                     errSyntax,
		"data: {}}\n\n":                   errSyntax,
		"data: {\"a\ndata: b\":1}\n\n":    errSplit,
		"\ufeffdata: {}\n\n":              errEncoding,
		"data: \ufeff{}\n\n":              errEncoding,
		"data: /**/{}\n\n":                errSyntax,
		"data:\ndata: // x\ndata: {}\n\n": errSyntax,
		"data: {\"a\":{b:'\"'}}\n\n":      errSyntax,
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

// Lines that are no data wait while something is held, and no server fills memory with
// them: not with long ones, nor with many, nor over several lists.
func TestLinesWithinHeldAreBounded(t *testing.T) {
	long, many := ": "+strings.Repeat("a", 2*maxHeld), strings.Repeat("id: 7\n", maxHeld/4)
	half := ": " + strings.Repeat("a", maxHeld*2/3) + "\n"
	for name, stream := range map[string]string{
		"a long comment in a list":  "data: {\"result\":{\"tools\":[\n" + long,
		"a long comment in an item": "data: {\"result\":{\"tools\":[{\n" + long,
		"in capabilities":           "data: {\"result\":{\"capabilities\":{\n" + long,
		"many lines":                "data: {\"result\":{\"tools\":[\n" + many,
		"fields without a colon":    "data: {\"result\":{\"tools\":[\n" + strings.Repeat("d\n", maxHeld),
		"parts of the name data":    "data: {\"result\":{\"tools\":[\n" + strings.Repeat("dat\r\n", maxHeld),
		"two lists":                 "data: {\"result\":{\"tools\":[\n" + half + "data: ],\"prompts\":[\n" + half,
	} {
		e := NewEvents(new(onlyAllowed))
		var err error
		for rest := []byte(stream); len(rest) > 0 && err == nil; {
			n := min(4<<10, len(rest))
			err, rest = e.Write(rest[:n]), rest[n:]
			e.Out()
		}
		if !errors.Is(err, errTooLarge) || len(e.rest) > maxHeld {
			t.Errorf("%s: %v with %d bytes held, want %v with at most %d", name, err, len(e.rest), errTooLarge, maxHeld)
		}
	}
	// Outside of what is held, a line is passed on however long it is.
	e := NewEvents(new(onlyAllowed))
	if err := e.Write([]byte(long + "\n\n")); err != nil || len(e.Out()) != len(long)+2 {
		t.Errorf("a long comment: %v, want it passed on", err)
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
func reference(v any) any {
	if batch, ok := v.([]any); ok {
		for i := range batch {
			if _, message := batch[i].(map[string]any); message {
				batch[i] = reference(batch[i])
			}
		}
		return batch
	}
	m, _ := v.(map[string]any)
	for name, value := range m {
		if result, ok := value.(map[string]any); ok && strings.EqualFold(name, "result") {
			filterResult(result)
		}
	}
	return v
}

func filterResult(result map[string]any) {
	keys := map[string]string{"tools": "name", "resources": "uri", "resourcetemplates": "uriTemplate", "prompts": "name"}
	for name, value := range result {
		folded := strings.ReplaceAll(strings.ToLower(name), "ſ", "s")
		if _, ok := value.(string); ok && folded == "cachescope" {
			result[name] = "private"
		}
		list, ok := value.([]any)
		key := keys[folded]
		if !ok || key == "" {
			continue
		}
		result[name] = slices.DeleteFunc(list, func(item any) bool {
			m, _ := item.(map[string]any)
			name, named := m[key].(string)
			annotations, _ := m["annotations"].(map[string]any)
			readOnly, _ := annotations["readOnlyHint"].(bool)
			return !named || !strings.HasPrefix(name, "allowed") && !readOnly
		})
	}
}

// What is read of an answer is what a reader that builds a tree would have filtered,
// in whatever pieces it comes, as JSON or as an event. What is read of one that goes
// wrong is how that of one that goes on well begins.
func FuzzFilter(f *testing.F) {
	f.Add([]byte(`{"id":1,"result":{"tools":[{"name":"allowed","x":"\\\""},{"name":"o","annotations":{"readOnlyHint":true}}],"cacheScope":"public"}}`), 5)
	f.Add([]byte(`[{"result":{"prompts":[{"name":"x"},1]}},[],{"result":[]}]`), 1)
	f.Add([]byte(`{"result":{"tools":[{"name":"x"},{"name":"allowed"},{"name":"allowed2","y":[{"z":"\u00`), 7)
	f.Add([]byte(`{"result":{"tools":[{"name":"x"},{"name":"allowed"}}]}`), 3)
	f.Add([]byte(`{"RESULT":{"Tools":[{"name":"x"},{"name":"allowed"}],"x":[-1.5e3,true,{"y":null}]}}`), 4)
	f.Add([]byte(`{"result":{"x":{/*"*/},"tools":[{"name":"x"}]}}`), 4)
	f.Add([]byte(`{"result":{"tools":[{"name":"x"}]}} {"result":{"tools":[{"name":"x"}]}}`), 3)
	f.Fuzz(func(t *testing.T, answer []byte, size int) {
		size = max(1, size%100)
		got, err := filtered(string(answer), false, size, new(onlyAllowed))
		whole, wholeErr := filtered(string(answer), false, 0, new(onlyAllowed))
		if got != whole || !errors.Is(err, wholeErr) {
			t.Fatalf("%q: %q, %v by %d; %q, %v whole", answer, got, err, size, whole, wholeErr)
		}
		if !bytes.ContainsAny(answer, "\r\n") {
			event, eventErr := filtered("data:"+string(answer)+"\n\n", true, size, new(onlyAllowed))
			lines, ends := strings.CutPrefix(event, "data:"+got)
			if !ends || strings.Trim(lines, "\n") != "" || err == nil && lines != "\n\n" || (eventErr == nil) != (err == nil) {
				t.Fatalf("%q: as an event %q, %v; want %q, %v", answer, event, eventErr, got, err)
			}
		}
		well := answer
		if err != nil {
			if well = wentOn(answer); well == nil {
				return
			}
		}
		after, err := filtered(string(well), false, 0, new(onlyAllowed))
		if err != nil {
			t.Fatalf("%q: %v", well, err)
		}
		if !strings.HasPrefix(after, got) {
			t.Fatalf("%q became %q, but %q becomes %q", answer, got, well, after)
		}
		want, is := tree(well)
		if !is {
			return
		}
		want = reference(want)
		if filtered, _ := tree([]byte(after)); !reflect.DeepEqual(filtered, want) {
			t.Fatalf("%q became %q, want %v", well, after, want)
		}
		if read, whole := tree([]byte(got)); whole && !reflect.DeepEqual(read, want) {
			t.Fatalf("%q became %q, which says %v, want %v", answer, got, read, want)
		}
	})
}

// wentOn is an answer that goes wrong without what is wrong, and ended; nil if it cannot
// be. It is JSON if any end makes it so.
func wentOn(answer []byte) []byte {
	f := NewBody(nil, new(onlyAllowed), false).filter
	right := 0
	for right < len(answer) && f.Write(answer[right:right+1]) == nil {
		right++
	}
	var open []byte // what ends what is open, the innermost first
	inText, escaped := false, false
	for _, c := range answer[:right] {
		switch {
		case inText:
			inText, escaped = c != '"' || escaped, c == '\\' && !escaped
		case c == '"':
			inText = true
		case c == '{':
			open = slices.Insert(open, 0, '}')
		case c == '[':
			open = slices.Insert(open, 0, ']')
		case c == '}', c == ']':
			open = open[1:]
		}
	}
	texts := []string{""}
	if inText {
		texts = []string{`"`, `""`, `0"`, `00"`, `000"`, `0000"`} // an escape may be open
	}
	var ended []byte
	for _, text := range texts {
		for _, value := range []string{"", "0", ":0", `"x":0`, "true", "rue", "ue", "e", "al" + "se", "lse", "se", "null", "ull", "ll", "l"} {
			all := slices.Concat(answer[:right], []byte(text), []byte(value), open)
			if json.Valid(all) {
				return all
			}
			if _, err := filtered(string(all), false, 0, new(onlyAllowed)); err == nil && ended == nil {
				ended = all
			}
		}
	}
	return ended
}

// tree is what a reader that builds one reads of a message or a batch of them, if that
// is what every reader reads.
func tree(text []byte) (v any, is bool) {
	trimmed := bytes.TrimSpace(text)
	is = len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') && json.Unmarshal(text, &v) == nil && !repeats(text)
	return v, is
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

func (names) Keep(_ access.Kind, name []byte, _ access.Annotations, _ []byte) bool {
	return bytes.HasPrefix(name, []byte("allowed"))
}
func (names) Known(access.Kind, []byte) (int, bool) { return 0, false }
func (names) Nothing(access.Kind) bool              { return false }
func (names) Next([]byte)                           {}
func (names) Listed(access.Kind, bool)              {}

// BenchmarkFilter is what the gateway spends on a list, as JSON or as an event, from the
// first byte that it reads to the last that it hands on.
func BenchmarkFilter(b *testing.B) {
	for _, n := range []int{10, 500, 5000} {
		list := largeList(n)
		event := slices.Concat([]byte("event: message\ndata: "), list, []byte("\n\n"))
		for form, answer := range map[string][]byte{"JSON": list, "event": event} {
			b.Run(fmt.Sprintf("%d/%s", n, form), func(b *testing.B) {
				source, piece := bytes.NewReader(answer), make([]byte, 32<<10)
				b.SetBytes(int64(len(answer)))
				b.ReportAllocs()
				began := cpu()
				defer func() { b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op") }()
				for b.Loop() {
					source.Reset(answer)
					body := NewBody(io.NopCloser(source), names{}, form == "event")
					if form == "JSON" {
						body.Expect(int64(len(answer)))
						if _, err := body.Begin(1 << 20); err != nil {
							b.Fatal(err)
						}
					}
					if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{body}, piece); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkScan is what it costs to look at each byte of the same answers.
func BenchmarkScan(b *testing.B) {
	answer := largeList(500)
	b.SetBytes(int64(len(answer)))
	began, n := cpu(), 0
	defer func() { b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op") }()
	for b.Loop() {
		for _, c := range answer {
			if c == '"' {
				n++
			}
		}
	}
	if n == 0 {
		b.Fatal("no quote")
	}
}

func cpu() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
