package mcp

import "slices"

// readText reads on in a string.
func (s *Scanner) readText(c byte) error {
	switch {
	case s.hex > 0:
		if !isHex(c) {
			return errSyntax
		}
		s.hex--
	case s.literal != "": // after a backslash
		s.literal = ""
		switch c {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			s.hex = 4
		default:
			return errSyntax
		}
	case s.utf8.inside() || c >= 0x80:
		if !s.utf8.read(c) {
			return errSyntax
		}
	case c < ' ':
		return errSyntax
	case c == '"' && s.state == inName:
		return s.nameEnds()
	case c == '"':
		return s.textEnds()
	case c == '\\':
		s.literal = `\`
	}
	if !s.keeps {
		return nil
	}
	if len(s.text) >= maxScanText {
		return errMember
	}
	s.text = append(s.text, c)
	return nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// textEnds takes a string or, for an id, a number.
func (s *Scanner) textEnds() (err error) {
	switch {
	case !s.keeps:
	case s.member == hasID:
		err = s.noteID()
	default:
		if text, ok := unquote(s.text); ok {
			err = s.draft.take(s.place(), s.member, text)
		} else {
			err = errNoCharacter
		}
	}
	s.valueEnds()
	return err
}

func (s *Scanner) noteID() error {
	if len(s.text) > maxIDLen {
		return errMember
	}
	s.draft.ID = slices.Clone(s.text)
	if s.state == inText {
		s.draft.ID = slices.Concat([]byte{'"'}, s.text, []byte{'"'})
	}
	return nil
}

// readNumber reads on in a number. again tells that the byte is the first after it.
func (s *Scanner) readNumber(c byte) (again bool, err error) {
	next, ok := s.afterNumeral(c)
	switch {
	case !ok && s.numberMayEnd():
		return true, s.textEnds()
	case !ok:
		return false, errSyntax
	}
	s.state = next
	if s.keeps {
		if len(s.text) > maxIDLen {
			return false, errMember
		}
		s.text = append(s.text, c)
	}
	return false, nil
}

// afterNumeral returns the state after a byte that belongs to the number.
func (s *Scanner) afterNumeral(c byte) (next scanState, ok bool) {
	digit := '0' <= c && c <= '9'
	switch s.state {
	case afterMinus:
		if c == '0' {
			return afterZero, true
		}
		return inDigits, digit
	case inDigits, afterZero:
		if c == '.' {
			return afterDot, true
		}
		if digit {
			return inDigits, s.state == inDigits
		}
	case afterDot, inFraction:
		if digit {
			return inFraction, true
		}
	case afterE:
		if c == '+' || c == '-' {
			return afterSign, true
		}
		return inExponent, digit
	case afterSign, inExponent:
		return inExponent, digit
	}
	return afterE, s.numberMayEnd() && (c == 'e' || c == 'E')
}

// numberMayEnd reports whether what was read of a number is one.
func (s *Scanner) numberMayEnd() bool {
	switch s.state {
	case afterZero, inDigits, inFraction, inExponent:
		return true
	}
	return false
}

// runeReader checks UTF-8 byte by byte. The zero value is between characters.
type runeReader struct {
	left      int8 // bytes that are still to come
	low, high byte // within which the next one is
}

func (r *runeReader) inside() bool { return r.left > 0 }

// read reports whether a byte that is not ASCII, or none outside of a character, may
// stand here.
func (r *runeReader) read(c byte) bool {
	if r.left > 0 {
		ok := r.low <= c && c <= r.high
		r.left--
		r.low, r.high = 0x80, 0xbf
		return ok
	}
	r.low, r.high = 0x80, 0xbf
	switch {
	case 0xc2 <= c && c <= 0xdf:
		r.left = 1
	case 0xe0 <= c && c <= 0xef:
		r.left = 2
		if c == 0xe0 {
			r.low = 0xa0
		} else if c == 0xed {
			r.high = 0x9f
		}
	case 0xf0 <= c && c <= 0xf4:
		r.left = 3
		if c == 0xf0 {
			r.low = 0x90
		} else if c == 0xf4 {
			r.high = 0x8f
		}
	default:
		return false
	}
	return true
}
