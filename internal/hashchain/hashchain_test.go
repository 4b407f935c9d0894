package hashchain

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lines returns n lines of a chain that goes on from an end.
func lines(from Head, n int) (all []string, end Head) {
	end = from
	for range n {
		var line []byte
		line, end = end.Append(nil, fmt.Appendf(nil, `{"msg":"line %d","chain":{"seq":7}}`, end.Seq+1), 0)
		all = append(all, string(line))
	}
	return all, end
}

func write(t *testing.T, name string, text ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.Join(text, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The format is what doc.go says, so that anybody can check it.
func TestFormat(t *testing.T) {
	line, end := Head{}.Append(nil, []byte(`{"a":1}`+"\n"), 0)
	covered, hash, _ := strings.Cut(string(line), `,"hash":"`)
	if want := `{"a":1,"chain":{"seq":1,"prev":"` + strings.Repeat("0", 64) + `"`; covered != want {
		t.Errorf("got  %s\nwant %s", covered, want)
	}
	sum := sha256.Sum256([]byte(covered))
	if want := hex.EncodeToString(sum[:]) + "\"}}\n"; hash != want || end.Hash != sum || end.Seq != 1 {
		t.Errorf("hash %s, end %v, want %s", hash, end, want)
	}
	for text, want := range map[string]string{
		`{}`: `{"chain":`, `{ }`: `{ "chain":`, `plain "text"`: `{"text":"plain \"text\"","chain":`, "{\n}": `{"text":"{\n}","chain":`, ``: `{"text":"","chain":`,
	} {
		line, _ := Head{}.Append(nil, []byte(text), 3)
		l, ok := parseLink(bytes.TrimSpace(line))
		if !strings.HasPrefix(string(line), want) || !ok || !l.intact || l.torn != 3 || l.seq != 1 {
			t.Errorf("%q became %s, which is read as %+v", text, line, l)
		}
	}
}

func TestVerify(t *testing.T) {
	whole, end := lines(Head{}, 6)
	other, _ := lines(Head{Hash: Hash{1}}, 6)
	for name, tt := range map[string]struct {
		lines  []string
		broken int    // the line, or 0
		reason string // what it says
	}{
		"whole":                    {whole, 0, ""},
		"the oldest are gone":      {whole[2:], 0, ""},
		"lines before the chain":   {append([]string{"{\"msg\":\"old\"}\n", "no JSON\n"}, whole...), 0, ""},
		"empty lines":              {slices.Insert(slices.Clone(whole), 3, "\n", "\r\n"), 0, ""},
		"a byte changed":           {replaced(whole, 3, strings.Replace(whole[3], "line 4", "line 5", 1)), 4, "changed"},
		"the last changed":         {replaced(whole, 5, strings.Replace(whole[5], "line", "lime", 1)), 6, "changed"},
		"the number changed":       {replaced(whole, 3, strings.Replace(whole[3], `"seq":4`, `"seq":9`, 1)), 4, "changed"},
		"one taken away":           {slices.Delete(slices.Clone(whole), 3, 4), 4, "line between them is missing"},
		"two taken away":           {slices.Delete(slices.Clone(whole), 2, 4), 3, "2 lines between them are missing"},
		"two swapped":              {[]string{whole[0], whole[2], whole[1], whole[3]}, 2, "is missing"},
		"one there twice":          {slices.Insert(slices.Clone(whole), 3, whole[2]), 4, "another order"},
		"one put in":               {slices.Insert(slices.Clone(whole), 3, "{\"msg\":\"mine\"}\n"), 4, "not part of the chain"},
		"one put in, no JSON":      {slices.Insert(slices.Clone(whole), 3, "mine\n"), 4, "not part of the chain"},
		"one replaced by another":  {replaced(whole, 3, other[3]), 4, "line 3 was replaced"},
		"the link taken away":      {replaced(whole, 3, "{\"msg\":\"line 4\"}\n"), 4, "not part of the chain"},
		"cut in the middle":        {replaced(whole, 3, whole[3][:40]+"\n"), 4, "not part of the chain"},
		"something behind the end": {append(slices.Clone(whole), "mine\n"), 7, "not part of the chain"},
		"a new chain":              {append(slices.Clone(whole), whole...), 7, "a new chain begins"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Verify([]string{write(t, "a.log", tt.lines...)})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.broken == 0 && (r.Broken != nil || !r.Whole() || r.Head != end):
				t.Errorf("broken at %v, end %v, want %v", r.Broken, r.Head, end)
			case tt.broken > 0 && (r.Broken == nil || r.Broken.Line != tt.broken || !strings.Contains(r.Broken.Reason, tt.reason)):
				t.Errorf("got %v, want line %d: %s", r.Broken, tt.broken, tt.reason)
			}
		})
	}
}

func replaced(all []string, at int, by string) []string {
	all = slices.Clone(all)
	all[at] = by
	return all
}

// A chain goes through files, in whatever order they are given.
func TestVerifyFiles(t *testing.T) {
	all, end := lines(Head{}, 9)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(strings.Join(all[:3], "")))
	_ = z.Close()
	first, second, third := write(t, "1.log.gz", packed.String()), write(t, "2.log", all[3:6]...), write(t, "3.log", all[6:]...)
	r, err := Verify([]string{third, first, second}, hashOf(t, all[4]), end.Hash)
	if err != nil || !r.Whole() || r.Head != end || !slices.Equal(r.Files, []string{first, second, third}) {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = Verify([]string{third, first})
	if err != nil || r.Broken == nil || r.Broken.Place != (Place{third, 1}) || !strings.Contains(r.Broken.Reason, "3 lines between") {
		t.Errorf("without the second: %+v, %v", r.Broken, err)
	}
	if r, err = Verify([]string{first, second}, end.Hash); err != nil || r.Whole() || !slices.Equal(r.Missing, []Hash{end.Hash}) {
		t.Errorf("without the end: %+v, %v", r, err)
	}
	for _, name := range []string{"none.log", write(t, "bad.log.gz", "no gzip"), "a.log.zst", write(t, "long.log", strings.Repeat("x", maxLine+1))} {
		if _, err := Verify([]string{first, name}); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	if r, err := Verify([]string{write(t, "empty.log")}); err != nil || r.Whole() {
		t.Errorf("an empty file is whole: %+v, %v", r, err)
	}
}

// hashOf returns the hash of a line.
func hashOf(t *testing.T, line string) Hash {
	t.Helper()
	l, ok := parseLink([]byte(strings.TrimSpace(line)))
	if !ok {
		t.Fatalf("no link: %s", line)
	}
	return l.hash
}

// After a crash, the chain goes on after the last whole line, and says what is
// incomplete.
func TestFind(t *testing.T) {
	all, end := lines(Head{}, 3)
	next, _ := end.Append(nil, []byte(`{"msg":"next"}`), 0)
	for name, tt := range map[string]struct {
		text string
		want End
	}{
		"whole":                       {strings.Join(all, ""), End{Head: end}},
		"without the last line end":   {strings.TrimSuffix(strings.Join(all, ""), "\n"), End{Head: end, Open: true}},
		"incomplete":                  {strings.Join(all, "") + string(next[:57]), End{Head: end, Torn: 57, Open: true}},
		"incomplete twice":            {strings.Join(all, "") + string(next[:57]) + "\n" + string(next[:20]), End{Head: end, Torn: 77, Open: true}},
		"only an incomplete line":     {string(next[:57]), End{Open: true}},
		"a line of another process":   {strings.Join(all, "") + "{\"a\":1}\n", End{Head: end}},
		"a line that was changed":     {all[0] + strings.Replace(all[1], "line", "lime", 1), End{Head: Head{1, hashOf(t, all[0])}}},
		"no chain":                    {"{\"a\":1}\n", End{}},
		"empty":                       {"", End{}},
		"more than is read at a time": {strings.Join(all[:2], "") + strings.Repeat("{}\n", maxTail/3) + all[2], End{Head: end}},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "audit.log", tt.text)
			got, err := Find(path)
			if err != nil || got != tt.want {
				t.Fatalf("got %+v, %v, want %+v", got, err, tt.want)
			}
			// What is appended then is in order, unless a line was put in or changed.
			line := []byte{}
			if got.Open {
				line = append(line, '\n')
			}
			line, _ = got.Append(line, []byte(`{"msg":"again"}`), got.Torn)
			r, err := Verify([]string{write(t, "audit.log", tt.text+string(line))})
			damaged := strings.Contains(tt.text, "{\"a\":1}\n") && got.Seq > 0 || strings.Contains(tt.text, "lime") || strings.Contains(tt.text, "{}\n")
			if err != nil || r.Whole() == damaged {
				t.Errorf("whole %v: %+v, %v", r.Whole(), r.Broken, err)
			}
		})
	}
}

// An incomplete line that the chain knows of cannot be exchanged for another.
func TestTorn(t *testing.T) {
	all, end := lines(Head{}, 2)
	torn := `{"level":"in`
	line, _ := end.Append(nil, []byte(`{"msg":"after"}`), len(torn))
	whole := all[0] + all[1] + torn + "\n" + string(line)
	for name, tt := range map[string]struct {
		text string
		want int // broken line, or 0
	}{
		"as it was":        {whole, 0},
		"taken away":       {strings.Replace(whole, torn+"\n", "", 1), 3},
		"longer":           {strings.Replace(whole, torn, torn+"x", 1), 3},
		"a line before it": {strings.Replace(whole, torn, "mine\n"+torn, 1), 3},
	} {
		r, err := Verify([]string{write(t, "a.log", tt.text)})
		if err != nil || (r.Broken == nil) != (tt.want == 0) || r.Broken != nil && r.Broken.Line != tt.want {
			t.Errorf("%s: %+v, %v, want line %d", name, r.Broken, err, tt.want)
		}
	}
	r, _ := Verify([]string{write(t, "a.log", whole)})
	if len(r.Torn) != 1 || r.Torn[0].Line != 3 {
		t.Errorf("incomplete lines %v", r.Torn)
	}
	r, _ = Verify([]string{write(t, "a.log", all[0], all[1], torn)})
	if r.Incomplete == nil || r.Incomplete.Line != 3 || !r.Whole() {
		t.Errorf("at the end: %+v", r)
	}
}

// When the current file is empty, the chain goes on from the newest rotated one.
func TestFindRotated(t *testing.T) {
	all, end := lines(Head{}, 4)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(strings.Join(all[:2], "")))
	_ = z.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"audit-2026-11-01T00-00-00.000-size.log.gz": packed.String(), "audit-2026-11-02T00-00-00.000-size.log": strings.Join(all[2:], ""),
		"other-2026-11-03T00-00-00.000-size.log": all[0], "audit.txt": all[0],
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	current := filepath.Join(dir, "audit.log")
	if got, err := Find(current); err != nil || got != (End{Head: end}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.Remove(filepath.Join(dir, "audit-2026-11-02T00-00-00.000-size.log")); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(current); err != nil || got.Seq != 2 {
		t.Errorf("from a compressed file: %+v, %v", got, err)
	}
}

func FuzzParseLink(f *testing.F) {
	all, _ := lines(Head{}, 2)
	f.Add([]byte(all[1]))
	f.Fuzz(func(t *testing.T, line []byte) {
		l, ok := parseLink(line)
		if ok && l.intact && (l.seq == 0 || l.torn < 0) {
			t.Errorf("%+v", l)
		}
		text, next := Head{}.Append(nil, line, 0)
		if again, ok := parseLink(bytes.TrimSuffix(text, []byte("\n"))); len(text) <= maxLine && (!ok || !again.intact || again.head() != next) {
			t.Errorf("%q became %q", line, text)
		}
	})
}
