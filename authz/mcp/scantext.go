package mcp

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

// readNumber reads on in a number. again tells that the byte is the first after it.
func (s *Scanner) readNumber(c byte) (again bool, err error) {
	digit := '0' <= c && c <= '9'
	next := s.state
	switch s.state {
	case afterMinus:
		next = inDigits
		if c == '0' {
			next = afterZero
		}
	case inDigits, afterZero:
		switch {
		case digit && s.state == inDigits:
		case c == '.':
			next, digit = afterDot, true
		case c == 'e' || c == 'E':
			next, digit = afterE, true
		default:
			return true, s.textEnds()
		}
	case afterDot:
		next = inFraction
	case inFraction:
		switch {
		case digit:
		case c == 'e' || c == 'E':
			next, digit = afterE, true
		default:
			return true, s.textEnds()
		}
	case afterE:
		next = inExponent
		if c == '+' || c == '-' {
			next, digit = afterSign, true
		}
	case afterSign:
		next = inExponent
	case inExponent:
		if !digit {
			return true, s.textEnds()
		}
	}
	if !digit {
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
