package mcp

import (
	"bufio"
	"bytes"
	"io"
	"slices"
)

// EventStream is the media type of server-sent events.
const EventStream = "text/event-stream"

// Accept is what a client of a server accepts, as each has to (Streamable HTTP, sending
// messages to the server).
const Accept = "application/json, " + EventStream

// EventReader reads the data of the events in a stream, one by one (HTML, server-sent
// events, section 9.2.6).
type EventReader struct {
	lines   *bufio.Scanner
	afterCR bool // a line feed now belongs to the line end before
	began   bool
}

// NewEventReader returns a reader of a stream, which is to bound how much it is read of.
// No line may be longer than maxLine bytes.
func NewEventReader(stream io.Reader, maxLine int) *EventReader {
	r := &EventReader{lines: bufio.NewScanner(stream)}
	r.lines.Buffer(nil, maxLine)
	r.lines.Split(r.line)
	return r
}

// Next returns the data of the next event that has some. At the end of the stream, the
// error is io.EOF, and the data that of an event that was not ended, if there is one.
func (r *EventReader) Next() ([]byte, error) {
	var data [][]byte
	for r.lines.Scan() {
		line := r.lines.Bytes()
		if !r.began {
			line, r.began = bytes.TrimPrefix(line, []byte("\ufeff")), true
		}
		if len(line) == 0 {
			if joined := bytes.Join(data, []byte("\n")); len(joined) > 0 {
				return joined, nil
			}
			data = nil
			continue
		}
		if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, slices.Clone(bytes.TrimPrefix(value, []byte(" "))))
		}
	}
	if err := r.lines.Err(); err != nil {
		return nil, err
	}
	return bytes.Join(data, []byte("\n")), io.EOF
}

// line is a bufio.SplitFunc. What follows a CR is not waited for.
func (r *EventReader) line(data []byte, atEOF bool) (advance int, token []byte, err error) {
	skip := 0
	if r.afterCR && len(data) > 0 {
		r.afterCR = false
		if data[0] == '\n' {
			skip, data = 1, data[1:]
		}
	}
	i := bytes.IndexAny(data, "\r\n")
	switch {
	case i >= 0:
		r.afterCR = data[i] == '\r'
		return skip + i + 1, data[:i:i], nil
	case atEOF && len(data) > 0:
		return skip + len(data), data, nil
	}
	return skip, nil, nil
}
