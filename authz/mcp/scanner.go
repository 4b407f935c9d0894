package mcp

import "github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"

const (
	// maxScanText bounds the texts by which a message is decided.
	maxScanText = 8 << 10
	// trackedDepth is more than the deepest place that matters.
	trackedDepth = 8
)

// Scanner reads the body of a request while it passes, as Scan does, and keeps of it
// only what a message is decided by.
type Scanner struct {
	found func(*Message) error
	kept  []byte // the whole body, if it is kept
	at    int    // how much was read, as far as that is needed: in kept

	state   scanState
	literal string // what is still to come of true, false or null
	utf8    runeReader
	hex     int // digits that are still to come

	open   strictjson.Nesting
	places [trackedDepth]place
	any    bool // a message was read

	draft  draft
	member member // whose value comes next
	keeps  bool   // the text that is read now
	text   []byte
	buffer [64]byte // of most texts
	start  int      // of a value in kept
}

type scanState uint8

const (
	atValue scanState = iota
	atFirstName
	atName
	atColon
	atFirstElement
	afterValue
	atEnd
	inName
	inText
	inLiteral
	// The states of a number.
	afterMinus
	afterZero
	inDigits
	afterDot
	inFraction
	afterE
	afterSign
	inExponent
)

// NewScanner returns a Scanner that calls found with each message once all of it was
// read but the brace that ends it. What found returns ends the reading.
func NewScanner(found func(*Message) error) *Scanner {
	s := &Scanner{found: found}
	s.text = s.buffer[:0]
	return s
}

// Write reads on. It returns how much may be passed on: all, or what stands before the
// mistake, after which no more may be written. An upstream that was given only that
// much has no whole message.
func (s *Scanner) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if s.state == inText || s.state == inName {
			n += s.skipText(p[n:])
			if n == len(p) {
				break
			}
		}
		if err := s.read(p[n]); err != nil {
			return n, err
		}
		s.at++
		n++
	}
	return n, nil
}

// Close says that the body is at its end.
func (s *Scanner) Close() error {
	if s.state != atEnd {
		return errIncomplete
	}
	if !s.any {
		return errEmptyBatch
	}
	return nil
}

// Early returns the message under way as soon as it is known what it uses, nil before:
// what is still to come cannot change that, only be refused. Its arguments are unread.
func (s *Scanner) Early() *Message {
	d := &s.draft
	if s.places[1] != inMessage || s.open.Depth() == 0 || d.has&hasMethod == 0 || !isSpeltAsKnown(d.Method) {
		return nil
	}
	early := *d
	early.ArgumentsUnread = true
	early.Items = nil
	switch nameMember[d.Method] {
	case "name", "uri":
		if early.addItems() == nil {
			return &early.Message
		}
	}
	return nil
}

// skipText passes over what needs no look in a string.
func (s *Scanner) skipText(p []byte) int {
	if s.hex > 0 || s.utf8.inside() || s.literal != "" {
		return 0
	}
	n := 0
	for n < len(p) && p[n] >= ' ' && p[n] != '"' && p[n] != '\\' && p[n] < 0x80 {
		n++
	}
	if s.keeps {
		if len(s.text)+n > maxScanText {
			return 0 // which read refuses
		}
		s.text = append(s.text, p[:n]...)
	}
	s.at += n
	return n
}

func (s *Scanner) read(c byte) error {
	switch s.state {
	case inText, inName:
		return s.readText(c)
	case inLiteral:
		if c != s.literal[0] {
			return errSyntax
		}
		if s.literal = s.literal[1:]; s.literal == "" {
			s.valueEnds()
		}
		return nil
	}
	if s.state >= afterMinus {
		if again, err := s.readNumber(c); err != nil || !again {
			return err
		}
	}
	switch c {
	case ' ', '\t', '\r', '\n':
		return nil
	}
	switch s.state {
	case atValue:
		return s.begin(c)
	case atFirstElement:
		if c == ']' {
			return s.closes(true)
		}
		return s.begin(c)
	case atFirstName, atName:
		switch {
		case c == '"':
			s.state, s.text = inName, s.text[:0]
			s.keeps = s.place() > inBatch
			return nil
		case c == '}' && s.state == atFirstName:
			return s.closes(false)
		}
	case atColon:
		if c == ':' {
			s.state = atValue
			return nil
		}
	case afterValue:
		switch {
		case c == ',' && s.open.InArray():
			s.state = atValue
			return nil
		case c == ',':
			s.state = atName
			return nil
		case c == ']' || c == '}':
			return s.closes(c == ']')
		}
	}
	return errSyntax
}

// begin begins a value.
func (s *Scanner) begin(c byte) error {
	s.start = s.at
	switch c {
	case '{', '[':
		return s.opens(c == '[')
	case '"':
		return s.beginText()
	}
	if err := s.beginOther(c); err != nil {
		return err
	}
	switch c {
	case 't':
		s.state, s.literal = inLiteral, "true"[1:]
	case 'f':
		s.state, s.literal = inLiteral, "false"[1:]
	case 'n':
		s.state, s.literal = inLiteral, "null"[1:]
	case '-':
		s.state = afterMinus
	case '0':
		s.state = afterZero
	default:
		if c < '1' || c > '9' {
			return errSyntax
		}
		s.state = inDigits
	}
	return nil
}

// beginText begins a string.
func (s *Scanner) beginText() error {
	if s.open.Depth() == 0 || s.place() == inBatch || s.member == hasParams {
		return errMessage
	}
	s.state, s.text = inText, s.text[:0]
	s.keeps = s.member&^hasArguments != 0 || s.place() == inURIs
	if s.member == hasArguments { // some servers take a text for the object in it
		s.draft.ArgumentsUnread = true
	}
	return nil
}

// beginOther begins a number, true, false or null.
func (s *Scanner) beginOther(c byte) error {
	null := c == 'n'
	switch {
	case s.open.Depth() == 0 || s.place() == inBatch:
		return errMessage
	case s.place() == inURIs:
		return errMember
	case s.member == 0:
		return nil
	case s.member == hasArguments:
		s.draft.ArgumentsUnread = !null
		return nil
	case s.member&(hasVersion|hasMethod) != 0,
		s.member == hasParams && !null,
		s.member == hasID && (c == 't' || c == 'f'):
		return errMember
	}
	s.keeps = s.member == hasID && !null
	s.text = s.text[:0]
	if s.keeps {
		s.text = append(s.text, c)
	}
	return nil
}

// nameEnds takes the name of a member.
func (s *Scanner) nameEnds() error {
	s.member, s.state = 0, atColon
	if !s.keeps {
		return nil
	}
	s.keeps = false
	m, err := memberNamed(s.place(), s.text)
	if err != nil {
		return err
	}
	if m != 0 && s.draft.has&m != 0 {
		return errRepeated
	}
	s.member = m
	s.draft.has |= m
	return nil
}
