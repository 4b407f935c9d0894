package lists

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// readText reads on in a string, and returns where it ends, or len(p).
func (f *Filter) readText(p []byte, i int) int {
	begin := i
	if f.escaped && i < len(p) {
		f.escaped = false
		i++
	}
	for {
		n := bytes.IndexByte(p[i:], '"')
		if n < 0 {
			f.escaped = endsInEscape(p[i:])
			f.take(p[begin:])
			return len(p)
		}
		if n > 0 && p[i+n-1] == '\\' && endsInEscape(p[i:i+n]) {
			i += n + 1
			continue
		}
		i += n
		f.take(p[begin:i])
		f.inText = false
		f.textEnds(f.text, f.takes)
		return i
	}
}

// Eight bytes that are all the same.
const (
	ones   = 0x0101010101010101
	quotes = ones * '"'
	highs  = ones * 0x80
)

// textEnd returns where a string ends of which p has the rest from i on, or -1. Most
// are short, and then a call to search for the end costs more than to look at eight
// bytes at a time.
func textEnd(p []byte, i int) int {
	const short = 32
	for at := i; at < i+short && at+8 <= len(p); at += 8 {
		w := binary.LittleEndian.Uint64(p[at:]) ^ quotes // of which a zero byte is a quote
		zero := (w - ones) &^ w & highs
		if zero == 0 {
			continue
		}
		if end := at + bits.TrailingZeros64(zero)/8; end == i || p[end-1] != '\\' {
			return end
		}
		break
	}
	return longTextEnd(p, i)
}

func longTextEnd(p []byte, i int) int {
	for {
		n := bytes.IndexByte(p[i:], '"')
		if n < 0 {
			return -1
		}
		if !endsInEscape(p[i : i+n]) {
			return i + n
		}
		i += n + 1
	}
}

// endsInEscape reports whether what comes next is escaped.
func endsInEscape(p []byte) bool {
	n := 0
	for n < len(p) && p[len(p)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// take takes a part of a text that matters.
func (f *Filter) take(p []byte) {
	switch {
	case !f.takes:
	case len(f.text)+len(p) > maxText:
		f.takes, f.item.bad = false, true
	default:
		f.text = append(f.text, p...)
	}
}
