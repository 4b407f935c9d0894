package client

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Providers write members with other types than the standards say. What can be
// read in one way only is read.

// byteOrderMark may stand before JSON and event streams, and means nothing.
var byteOrderMark = []byte("\ufeff")

// text is a text; some write the digits of one as a number.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && strings.Trim(string(data), "0123456789") == "" {
		*t = text(data)
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

// number reads a number that may be written as text. What is none is 0.
func number(raw json.RawMessage) float64 {
	text := string(raw)
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) != nil {
		return 0
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0
	}
	return n
}

// moment reads a time in seconds since 1970, or as RFC 3339 writes it. Zero is
// none, as is what is no time.
func moment(raw json.RawMessage) time.Time {
	var t time.Time
	if json.Unmarshal(raw, &t) == nil {
		return t
	}
	seconds := number(raw)
	if seconds <= 0 || seconds > maxMoment {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// maxMoment is the last second of the year 9999, the last that RFC 3339 can
// write.
const maxMoment = 253402300799
