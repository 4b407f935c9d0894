package catalog

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A title that is cut keeps nothing else of the definition in memory.
func TestCutTitlesKeepNothingElse(t *testing.T) {
	const tools, size = 64, 1 << 20
	before := inUse()
	titles := make([]string, tools)
	for i := range titles {
		titles[i] = titleOf(fmt.Appendf(nil, `{"title":%q}`, strings.Repeat("x", size)))
	}
	if got := inUse() - before; got > tools*size/8 {
		t.Errorf("%d titles keep %d bytes in memory", tools, got)
	}
	for _, title := range titles {
		if len(title) != maxTitle {
			t.Errorf("a title has %d bytes, want %d", len(title), maxTitle)
		}
	}
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}

// What servers list to people fills no memory, however long their names are, and is
// forgotten once no page shows it.
func TestHearingsAreBounded(t *testing.T) {
	now := time.Now()
	s := New().Of("https://a", "wiki")
	tools := make([]Entry, 64)
	for i := range tools {
		tools[i].Name = strings.Repeat("x", maxName-8) + fmt.Sprint(i)
	}
	for i := range maxHearings {
		s.Hear(fmt.Sprint("person ", i), tools, now.Add(time.Duration(i)*time.Millisecond))
	}
	size := 0
	for i := range maxHearings {
		if h, known := s.heard.of.Peek(fmt.Sprint("person ", i)); known {
			size += newHearing(h.tools, now).size
		}
	}
	if size > maxHeardBytes || size != s.heard.size || size < maxHeardBytes/2 {
		t.Errorf("%d bytes are remembered, %d counted, want them the same and at most %d", size, s.heard.size, maxHeardBytes)
	}
	last := now.Add((maxHearings - 1) * time.Millisecond)
	for person, want := range map[string]bool{"person 0": false, fmt.Sprint("person ", maxHearings-1): true} {
		if _, got := s.Heard(person, last); got != want {
			t.Errorf("what %s was listed is known: %t, want %t", person, got, want)
		}
	}
	s.Hear("late", tools[:1], last.Add(HeardFor))
	if s.heard.of.Len() != 1 || s.heard.size != newHearing(tools[:1], now).size {
		t.Errorf("%d hearings of %d bytes are remembered, want the last alone", s.heard.of.Len(), s.heard.size)
	}
	for i := range 2 * maxHearings { // of nothing, too
		s.Hear(fmt.Sprint("other ", i), nil, last.Add(HeardFor))
	}
	if s.heard.of.Len() > maxHearings {
		t.Errorf("%d hearings, want at most %d", s.heard.of.Len(), maxHearings)
	}
}
