package mcp

import "encoding/json"

// Events follows an event stream as it passes, and tells where one event ends
// and the next has not begun: only there may something of our own be inserted. The
// zero value is at the start of a stream.
type Events struct {
	inLine  bool // a line has begun
	inEvent bool // a line other than a comment came since the last blank one
	afterCR bool // a line feed now belongs to the line end before
}

// Between reports whether no event has begun.
func (e *Events) Between() bool { return !e.inLine && !e.inEvent }

// Scan reads on to the next place between two events, and returns how much of p
// stands before it. It reads all of p if there is none.
func (e *Events) Scan(p []byte) (n int, found bool) {
	for i, b := range p {
		if e.read(b); e.Between() {
			return i + 1, true
		}
	}
	return len(p), false
}

// Skip reads all of p.
func (e *Events) Skip(p []byte) {
	for _, b := range p {
		e.read(b)
	}
}

// read follows one byte. A line ends with CR, LF or both, a blank one ends an
// event (HTML, server-sent events, section 9.2.6).
func (e *Events) read(b byte) {
	switch {
	case b == '\n' && e.afterCR:
		e.afterCR = false
	case b == '\n' || b == '\r':
		if !e.inLine {
			e.inEvent = false
		}
		e.inLine, e.afterCR = false, b == '\r'
	default:
		if !e.inLine && b != ':' {
			e.inEvent = true
		}
		e.inLine, e.afterCR = true, false
	}
}

// ElicitationComplete returns the event that tells a client that what it was
// asked for by URL is done (revision 2025-11-25, completion notifications for
// URL mode elicitation). It has no id: a stream is resumed after the last event
// of the server.
func ElicitationComplete(elicitationID string) []byte {
	type params struct {
		ElicitationID string `json:"elicitationId"`
	}
	message, _ := json.Marshal(struct { // texts always marshal
		JSONRPC string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  params `json:"params"`
	}{"2.0", "notifications/elicitation/complete", params{elicitationID}})
	return append(append([]byte("event: message\ndata: "), message...), "\n\n"...)
}
