package client

import (
	"bufio"
	"bytes"
	"io"
)

// firstEvent returns the data of the first event of a stream that has any.
func firstEvent(r io.Reader) []byte {
	var data []byte
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxProbeAnswer)
	for first := true; lines.Scan(); first = false {
		line := lines.Bytes()
		if first {
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		if len(line) == 0 && len(data) > 0 {
			return data
		}
		if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
		}
	}
	return data
}
