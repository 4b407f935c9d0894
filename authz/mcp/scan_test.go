package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// described returns messages as a test names them.
func described(all []Message) string {
	var b strings.Builder
	for _, m := range all {
		fmt.Fprintf(&b, "%s(%s)", m.Method, m.ID)
		for _, i := range m.Items {
			fmt.Fprintf(&b, " %d:%s", i.Kind, i.Name)
		}
		if m.Arguments != nil {
			fmt.Fprintf(&b, " with %s", m.Arguments)
		}
		if m.ArgumentsUnread {
			b.WriteString(" unread")
		}
		if m.Revision != "" {
			fmt.Fprintf(&b, " of %s", m.Revision)
		}
		b.WriteString(";")
	}
	return b.String()
}

func TestScan(t *testing.T) {
	for body, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[1,{"y":null}]}}}`:                                           `tools/call(1) 0:a with {"x":[1,{"y":null}]};`,
		` { "params" : {"arguments":null,"name":"\u0061\n\ud83d\ude00"} ,"method":"tools\/call", "jsonrpc":"2.0","id":"é\""}` + "\r\n":                    "tools/call(\"é\\\"\") 0:a\n😀;",
		`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}`:                                                                                   `tools/call() 0:a;`,
		`{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"a","arguments":"{}"}}`:                                                        `tools/call() 0:a unread;`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":5}}`:                                                              `tools/call(1) 0:a unread;`,
		`{"jsonrpc":"2.0","id":-1.5e+3,"method":"prompts/get","params":{"name":"a","arguments":[]}}`:                                                      `prompts/get(-1.5e+3) 3:a unread;`,
		`{"jsonrpc":"2.0","id":0,"method":"resources/read","params":{"uri":"file:///x","name":["not","looked","at"]}}`:                                    `resources/read(0) 1:file:///x;`,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"a"},"argument":{"name":"b"}}}`:               `completion/complete(1) 3:a;`,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"uri":"x:{y}","type":"ref/resource","name":"a"}}}`:                       `completion/complete(1) 2:x:{y};`,
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a","b"]}}}`: `subscriptions/listen(1) 1:a 1:b;`,
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{}}}`:                                                          `subscriptions/listen(1);`,
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"name":{"name":1}}}}`:                     `initialize(1) of 2025-11-25;`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","x":1}}}`:                `tools/list(1) of 2026-07-28;`,
		`{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call","name":1,"name":2}}`:                                                                     `(1);`,
		`{"jsonrpc":"2.0","id":null,"error":{"code":1}}`:                                                                                                  `();`,
		`{"jsonrpc":"2.0","id":1,"method":"acme/do","params":{"name":{},"uri":4,"tools":true,"Tools":false}}`:                                             `acme/do(1);`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`:                                                                                      `tools/call(1) 0:;`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}`:                                                                                    `tools/call(1) 0:;`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe"}`:                                                                                         `resources/subscribe(1) 1:;`,
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`:                                                                                                        `ping(1);`,
		`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"tools/call","params":{"name":"b"}}]`:                                        `ping(1);tools/call() 0:b;`,
	} {
		all, err := Scan([]byte(body))
		if got := described(all); err != nil || got != want {
			t.Errorf("%s\n got %s, %v\nwant %s", body, got, err, want)
		}
	}
}

// What readers can take for different messages is refused.
func TestScanRefuses(t *testing.T) {
	call := func(params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
	}
	method := func(m string) string { return `{"jsonrpc":"2.0","id":1,"method":"` + m + `","params":{"name":"a"}}` }
	for body, want := range map[string]error{
		call(`{"name":"a","name":"b"}`):                         errRepeated,
		call(`{"name":"a","n\u0061me":"b"}`):                    errRepeated,
		call(`{"name":"a","Name":"b"}`):                         errSpelling,
		call(`{"NAME":"b"}`):                                    errSpelling,
		call(`{"name":"a","name ":"b"}`):                        errSpelling,
		call(`{"name":"a","ｎａｍｅ":"b"}`):                         errSpelling,
		call(`{"name":"a","argumentſ":{}}`):                     errSpelling,
		call(`{"name":"a"},"params":{"name":"b"}`):              errRepeated,
		call(`{"name":"a"},"Params":{"name":"b"}`):              errSpelling,
		call(`{"name":"a"},"method":"ping"`):                    errRepeated,
		call(`{"name":"a"},"Method":"ping"`):                    errSpelling,
		call(`{"name":"a"},"result":{}`):                        errMessage,
		call(`["a"]`):                                           errMember,
		call(`"a"`):                                             errMessage,
		call(`{"name":["a"]}`):                                  errNoItem,
		call(`{"name":1}`):                                      errNoItem,
		call(`{"name":null}`):                                   errNoItem,
		call(`{"name":"a\u0000"}`):                              errNoCharacter,
		call(`{"name":"a\ud800"}`):                              errNoCharacter,
		call(`{"name":"\ud800\u0061"}`):                         errNoCharacter,
		call(`{"name":"` + strings.Repeat("a", 9000) + `"}`):    errMember,
		call("{\"name\":\"\xff\"}"):                             errSyntax,
		call("{\"name\":\"a\",\"arguments\":{\"\xc0\x80\":1}}"): errSyntax,
		call("{\"name\":\"a\xed\xa0\x80\"}"):                    errSyntax,
		call("{\"name\":\"a\nb\"}"):                             errSyntax,
		call("{\"name\":\"a\\x62\"}"):                           errSyntax,
		call(`{"name":"a",}`):                                   errSyntax,
		call(`{"name":"a" /* */}`):                              errSyntax,
		call(`{'name':"a"}`):                                    errSyntax,
		call(`{name:"a"}`):                                      errSyntax,
		call(`{"name":"a","x":NaN}`):                            errSyntax,
		call(`{"name":"a","x":01}`):                             errSyntax,
		call(`{"name":"a","x":1.}`):                             errSyntax,
		call(`{"name":"a","x":+1}`):                             errSyntax,
		call(`{"name":"a","x":tru}`):                            errSyntax,
		call(`{"name":"a"}`) + call(`{"name":"b"}`):             errSyntax,
		call(`{"name":"a"}`) + "\x00":                           errSyntax,
		"\ufeff" + call(`{"name":"a"}`):                         errMessage,
		call(`{"name":"a"},"x":{"jsonrpc":"2.0"},"id":2`):       errRepeated,
		method(strings.Repeat("a", maxMethodLen+1)):             errMember,
		method("Tools/Call"):                                    errMethod,
		method("tools/call "):                                   errMethod,
		method("tools//call"):                                   errMethod,
		method("ｔools/call"):                                    errMethod,
		method("toolſ/call"):                                    errMethod,
		method(`tools\u002fCall`):                               errMethod,
		method(`TOOLS/LIST`):                                    errMethod,
		`{"jsonrpc":"2.0","id":1,"method":["tools/call"]}`:      errMember,
		`{"jsonrpc":"2.0","id":1,"method":null}`:                errMember,
		`{"jsonrpc":"2.0","id":{},"method":"ping"}`:             errMember,
		`{"jsonrpc":"2.0","id":true,"method":"ping"}`:           errMember,
		`{"jsonrpc":"2.0","id":"` + strings.Repeat("a", maxIDLen+1) + `","method":"ping"}`: errMember,
		`{"jsonrpc":"2.0","id":1,"ID":2,"method":"ping"}`:                                  errSpelling,
		`{"jsonrpc":"1.0","id":1,"method":"ping"}`:                                         errMessage,
		`{"id":1,"method":"ping"}`:                                                         errMessage,
		`{"jsonrpc":"2.0","id":1}`:                                                         errMessage,
		`[]`:                                                                               errEmptyBatch,
		`[[` + method("ping") + `]]`:                                                       errMessage,
		`["tools/call"]`:                                                                   errMessage,
		`"tools/call"`:                                                                     errMessage,
		`[1]`:                                                                              errMessage,
		`1`:                                                                                errMessage,
		``:                                                                                 errIncomplete,
		`{"jsonrpc":"2.0"`:                                                                 errIncomplete,
		`{"jsonrpc":"2.0","id":1,"method":"ping"]`:                                                                                                                   errSyntax,
		`{"jsonrpc":"2.0","id":1,"method":"ping","params":` + strings.Repeat("[", 600):                                                                               errMember,
		`{"jsonrpc":"2.0","id":1,"x":` + strings.Repeat("[", 600):                                                                                                    errDepth,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/other","name":"a"}}}`:                                                   errNoItem,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"a","Name":"b"}}}`:                                       errSpelling,
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":"a"}}}`:                                          errNoItem,
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[["a"]]}}}`:                                      errMember,
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[1]}}}`:                                          errMember,
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a"` + strings.Repeat(`,"a"`, maxURIs) + `]}}}`: errMember,
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":[{"resourceSubscriptions":["a"]}]}}`:                                      errNoItem,
		`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolversion":"2025-06-18"}}}`:                                       errSpelling,
	} {
		if all, err := Scan([]byte(body)); !errors.Is(err, want) {
			t.Errorf("%.200s\n got %v, %s\nwant %v", body, err, described(all), want)
		}
	}
}

// A body that comes in pieces is read as the whole is, and nothing of it is passed on
// that makes a message that was not decided.
func TestScanInPieces(t *testing.T) {
	bodies := []string{
		`{"jsonrpc":"2.0","id":12,"method":"tools/call","params":{"name":"\u0061é😀","arguments":{"x":[1.5e3,true,"é"]}}}`,
		`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":"b","method":"tools/call","params":{"name":"b"}}] `,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}x`,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\xe2\x28\"}}",
	}
	for _, body := range bodies {
		whole, wantErr := Scan([]byte(body))
		for size := 1; size <= len(body); size++ {
			var all []Message
			passed := 0
			s := NewScanner(func(m *Message) error {
				all = append(all, *m)
				return nil
			})
			var err error
			for piece := range slices.Chunk([]byte(body), size) {
				var n int
				n, err = s.Write(piece)
				passed += n
				if err != nil {
					break
				}
			}
			if err == nil {
				err = s.Close()
			}
			if !errors.Is(err, wantErr) {
				t.Fatalf("%s by %d: %v, want %v", body, size, err, wantErr)
			}
			if wantErr != nil {
				continue
			}
			for i := range all {
				all[i].Arguments, all[i].ArgumentsUnread = whole[i].Arguments, false
			}
			if got, want := described(all), described(whole); got != want || passed != len(body) {
				t.Fatalf("%s by %d: %s, %d bytes passed\nwant %s", body, size, got, passed, want)
			}
		}
	}
}

// A message that is refused is never passed on whole, wherever what refuses it stands.
func TestScanPassesNoRefusedMessage(t *testing.T) {
	denied := errors.New("denied")
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"x":"` + strings.Repeat("y", 100) + `"},"name":"a"}}`
	s := NewScanner(func(*Message) error { return denied })
	n, err := s.Write([]byte(body))
	if !errors.Is(err, denied) || n != len(body)-1 {
		t.Errorf("%d of %d bytes passed, %v", n, len(body), err)
	}
}

func TestScanEarly(t *testing.T) {
	begin := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a`
	s := NewScanner(func(*Message) error { return nil })
	if _, err := s.Write([]byte(begin)); err != nil || s.Early() != nil {
		t.Fatalf("%v, %v", s.Early(), err)
	}
	if _, err := s.Write([]byte(`","arguments":{"x":"`)); err != nil {
		t.Fatal(err)
	}
	if m := s.Early(); m == nil || described([]Message{*m}) != "tools/call(1) 0:a unread;" {
		t.Errorf("%v", m)
	}
}

var scanned []Message

func BenchmarkScan(b *testing.B) {
	body := []byte(`{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"_meta":{"progressToken":17},"name":"create_issue","arguments":{"owner":"acme","repo":"widgets","title":"It does not start","body":"` + strings.Repeat("What was done, and what came of it. ", 8) + `"}}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if scanned, err = Scan(body); err != nil {
			b.Fatal(err)
		}
	}
}

// Whatever is read as a message is a message, whole or in pieces.
func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\u0061","arguments":{"x":[1,-2.5e3]}}}`), 3)
	f.Add([]byte(`[{"jsonrpc":"2.0","id":1,"result":null},{"jsonrpc":"2.0","method":"resources/read","params":{"uri":"é"}}]`), 7)
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		whole, err := Scan(body)
		if err == nil && !json.Valid(body) {
			t.Fatalf("%q is no JSON, and was read as %s", body, described(whole))
		}
		for _, m := range whole {
			if m.Arguments != nil && (!json.Valid(m.Arguments) || m.Arguments[0] != '{') {
				t.Fatalf("%q has the arguments %q", body, m.Arguments)
			}
		}
		if err == nil && len(whole) == 1 && len(whole[0].Items) == 1 && nameMember[whole[0].Method] == "name" {
			// A reader that takes case for nothing, and the last of what repeats, agrees.
			var lenient struct {
				Method string
				Params struct{ Name string }
			}
			if json.Unmarshal(body, &lenient) != nil || lenient.Method != whole[0].Method || lenient.Params.Name != whole[0].Items[0].Name {
				t.Fatalf("%q is %s, and %+v for encoding/json", body, described(whole), lenient)
			}
		}
		var pieces []Message
		s := NewScanner(func(m *Message) error {
			pieces = append(pieces, *m)
			return nil
		})
		var inPieces error
		for piece := range slices.Chunk(body, max(1, size%64)) {
			if _, inPieces = s.Write(piece); inPieces != nil {
				break
			}
		}
		if inPieces == nil {
			inPieces = s.Close()
		}
		if !errors.Is(inPieces, err) {
			t.Fatalf("%q: %v whole, %v in pieces", body, err, inPieces)
		}
		if err == nil && len(pieces) != len(whole) {
			t.Fatalf("%q: %d messages whole, %d in pieces", body, len(whole), len(pieces))
		}
	})
}
