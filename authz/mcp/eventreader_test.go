package mcp

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestEventReader(t *testing.T) {
	for name, tt := range map[string]struct {
		stream string
		want   []string
		rest   string // of an event that was not ended
	}{
		"one":                  {"data: a\n\n", []string{"a"}, ""},
		"several lines":        {"data: a\ndata:b\n\n", []string{"a\nb"}, ""},
		"without data":         {": hello\n\nid: 1\ndata:\n\nevent: x\n\ndata: a\n\n", []string{"a"}, ""},
		"CR":                   {"data: a\r\rdata: b\r\r", []string{"a", "b"}, ""},
		"CR LF":                {"data: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}, ""},
		"mixed":                {"data: a\r\n\ndata: b\n\r\n", []string{"a", "b"}, ""},
		"mark of byte order":   {"\ufeffdata: a\n\n\ufeffdata: b\n\n", []string{"a"}, ""},
		"one blank is removed": {"data:  a\n\n", []string{" a"}, ""},
		"other fields":         {"dat: a\nDATA: b\ndata\ndata: c\n\n", []string{"c"}, ""},
		"not ended":            {"data: a\n\ndata: b\n", []string{"a"}, "b"},
		"cut within a line":    {"data: a\n\ndata: b", []string{"a"}, "b"},
		"nothing":              {"", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, stream := range map[string]io.Reader{"at once": strings.NewReader(tt.stream), "byte by byte": iotest.OneByteReader(strings.NewReader(tt.stream))} {
				r := NewEventReader(stream, 100)
				var got []string
				data, err := r.Next()
				for ; err == nil; data, err = r.Next() {
					got = append(got, string(data))
				}
				if err != io.EOF || !slices.Equal(got, tt.want) || string(data) != tt.rest {
					t.Errorf("%s: %q and %q, %v; want %q and %q", kind, got, data, err, tt.want, tt.rest)
				}
			}
		})
	}
	failure := errors.New("failure")
	if _, err := NewEventReader(iotest.ErrReader(failure), 100).Next(); err != failure {
		t.Errorf("error %v, want that of the stream", err)
	}
	if data, err := NewEventReader(strings.NewReader("data: "+strings.Repeat("a", 200)+"\n\n"), 100).Next(); err == nil {
		t.Errorf("a line that is too long is %q, want an error", data)
	}
}

// What ended is there before anything else comes.
func TestEventReaderDoesNotWait(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\r", "\r\n\r\n"} {
		stream, server := io.Pipe()
		go func() { _, _ = io.WriteString(server, "data: a"+end) }()
		if data, err := NewEventReader(stream, 100).Next(); string(data) != "a" || err != nil {
			t.Errorf("%q: %q, %v, want a", end, data, err)
		}
		_ = server.Close()
	}
}
