package mcp

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote returns what the inner part of a string of JSON stands for. It is not ok if
// that has a NUL, which ends a text for some, or half of a surrogate pair, of which
// readers make different things. raw is valid otherwise.
func unquote(raw []byte) (text string, ok bool) {
	switch string(raw) { // which nearly all messages say
	case "2.0":
		return "2.0", true
	case "tools/call":
		return "tools/call", true
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw), true
	}
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			b = append(b, raw[i])
			continue
		}
		i++
		if raw[i] != 'u' {
			b = append(b, unescaped(raw[i]))
			continue
		}
		r := hexRune(raw[i+1:])
		i += 4
		if utf16.IsSurrogate(r) {
			if i+6 >= len(raw) || raw[i+1] != '\\' || raw[i+2] != 'u' {
				return "", false
			}
			if r = utf16.DecodeRune(r, hexRune(raw[i+3:])); r == utf8.RuneError {
				return "", false
			}
			i += 6
		}
		if r == 0 {
			return "", false
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b), true
}

func hexRune(hex []byte) rune {
	r, _ := strconv.ParseUint(string(hex[:4]), 16, 16)
	return rune(r)
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
