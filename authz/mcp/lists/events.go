package lists

import (
	"bytes"
	"cmp"
)

// Events filters an event stream whose data are JSON-RPC messages.
type Events struct {
	Filter
	state   lineState
	field   []byte // the name of the field, as far as it was read
	afterCR bool   // a line feed now belongs to the line end before
	data    dataState
	rest    []byte // lines that came within something held; they end the event
}

type lineState uint8

const (
	lineBegins lineState = iota
	inField
	afterColon // of data, where a blank means nothing
	inData
	inOther // a line that is passed on as it is
)

// dataState is what the data of an event are.
type dataState uint8

const (
	noData  dataState = iota
	isSlash           // with which words begin, or a comment before a message
	isJSON
	isWords // no message
)

// NewEvents returns a filter of a stream.
func NewEvents(policy Policy) *Events { return &Events{Filter: Filter{policy: policy}} }

// Write reads on.
func (e *Events) Write(p []byte) error {
	for len(p) > 0 {
		n, err := e.read(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// Close says that the stream is at its end. An event that was not ended is none.
func (e *Events) Close() error { return nil }

// read reads a part of a line, and returns how much.
func (e *Events) read(p []byte) (int, error) {
	c := p[0]
	if c == '\n' && e.afterCR {
		e.afterCR = false
		e.pass(p[:1])
		return 1, nil
	}
	e.afterCR = false
	if c == '\n' || c == '\r' {
		e.afterCR = c == '\r'
		return 1, e.lineEnds(p[:1])
	}
	switch e.state {
	case lineBegins, inField:
		return 1, e.readField(c)
	case afterColon:
		e.state = inData
		if c == ' ' {
			e.pass(p[:1])
			return 1, nil
		}
	}
	n := untilLineEnds(p)
	if e.state == inOther {
		return n, e.passLine(p[:n])
	}
	return n, e.readData(p[:n])
}

// untilLineEnds returns how much of a line there is.
func untilLineEnds(p []byte) int {
	for _, end := range []byte("\n\r") { // one after the other is faster than either
		if n := bytes.IndexByte(p, end); n >= 0 {
			p = p[:n]
		}
	}
	return len(p)
}

const dataField = "data"

// readField reads on in the name of a field.
func (e *Events) readField(c byte) error {
	if e.state = inField; len(e.field) == 0 && c == 0xef { // a mark, after which a stream begins for some readers
		return errEncoding
	}
	e.field = append(e.field, c)
	switch {
	case c == ':' && string(e.field) == dataField+":":
		e.state = afterColon
		e.pass(e.field)
		e.field = e.field[:0]
	case len(e.field) > len(dataField) || !bytes.HasPrefix([]byte(dataField), e.field):
		e.state = inOther
		return e.passField()
	}
	return nil
}

// passField passes on what was read of a field that is not data.
func (e *Events) passField() error {
	err := e.passLine(e.field)
	e.field = e.field[:0]
	return err
}

// readData reads on in the data of an event.
func (e *Events) readData(p []byte) (err error) {
	if p, err = e.begin(p, " \t", &e.data); len(p) == 0 || err != nil {
		return err
	}
	if e.data == isWords {
		e.out = append(e.out, p...)
		return nil
	}
	return e.Filter.Write(p)
}

// begin finds out what data are that may begin after blanks, passes those on, and returns
// the rest.
func (f *Filter) begin(p []byte, blanks string, is *dataState) ([]byte, error) {
	if *is == noData {
		if p = f.passBlanks(p, blanks); len(p) == 0 {
			return nil, nil
		}
		var err error
		if *is, err = kindOf(p[0]); err != nil {
			return nil, err
		}
		if *is == isSlash {
			f.out = append(f.out, p[0])
			p = p[1:]
		}
	}
	if *is == isSlash && len(p) > 0 {
		if p[0] == '/' || p[0] == '*' {
			return nil, errSyntax
		}
		*is = isWords
	}
	return p, nil
}

// kindOf tells what begins with a byte.
func kindOf(first byte) (dataState, error) {
	switch first {
	case '{', '[':
		return isJSON, nil
	case '/':
		return isSlash, nil
	case '#', ')': // a comment, and what is written before JSON that no script is to read: lenient readers skip both
		return noData, errSyntax
	case 0, 0xef, 0xfe, 0xff: // a mark or half a character of another encoding, which some readers take
		return noData, errEncoding
	}
	return isWords, nil
}

// lineEnds ends a line: a blank one ends the event.
func (e *Events) lineEnds(end []byte) error {
	state := e.state
	e.state = lineBegins
	switch state {
	case inField: // a field without a colon, such as "data"
		return cmp.Or(e.passField(), e.passLine(end))
	case inOther:
		return e.passLine(end)
	case afterColon, inData:
		if e.inText && e.data == isJSON {
			return errSplit
		}
		e.pass(end)
		return nil
	}
	return e.eventEnds(end)
}

func (e *Events) eventEnds(end []byte) error {
	if e.data == isJSON {
		if err := e.Filter.Close(); err != nil {
			return err
		}
	}
	e.data = noData
	e.reset()
	e.out = append(append(e.out, e.rest...), end...)
	e.rest = e.rest[:0]
	return nil
}

// pass passes on what frames data; within what is held, the data go on in one line.
func (e *Events) pass(p []byte) {
	if e.hold == holdNothing {
		e.out = append(e.out, p...)
	}
}

// passLine passes on a part of a line that is no data. What comes within something held
// waits for the end of the event, and is bounded as that is.
func (e *Events) passLine(p []byte) error {
	if e.hold == holdNothing {
		e.out = append(e.out, p...)
		return nil
	}
	if len(e.rest)+len(p) > maxHeld {
		return errTooLarge
	}
	e.rest = append(e.rest, p...)
	return nil
}
