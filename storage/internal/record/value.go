package record

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// ErrCorrupt: a value is not what this version writes.
var ErrCorrupt = errors.New("storage: corrupt record")

const (
	valueVersion = 1
	valueHeader  = 1 + 8
)

// Keep is a value's last second, in Unix time; Sweep removes what is past it.
type Keep int64

// Forever keeps a value until it is deleted.
const Forever Keep = math.MaxInt64

// Until rounds up, so that nothing is swept early.
func Until(t time.Time) Keep {
	seconds := t.Unix()
	if t.Nanosecond() > 0 {
		seconds++
	}
	return Keep(seconds)
}

// UntilOrForever is Until for a record that may have no end.
func UntilOrForever(t time.Time) Keep {
	if t.IsZero() {
		return Forever
	}
	return Until(t)
}

// Over reports whether the value may be swept.
func (k Keep) Over(now time.Time) bool { return int64(k) <= now.Unix() }

// New returns the header, with room for a body.
func New(k Keep, room int) []byte {
	v := make([]byte, 0, valueHeader+room)
	v = append(v, valueVersion)
	return binary.BigEndian.AppendUint64(v, uint64(k))
}

// Open returns what a value holds behind its header, and how long that is kept.
func Open(v []byte) (Keep, []byte, error) {
	if len(v) < valueHeader || v[0] != valueVersion {
		return 0, nil, ErrCorrupt
	}
	return Keep(binary.BigEndian.Uint64(v[1:])), v[valueHeader:], nil
}

// Nanos is a time that sorts, also one that Unix nanoseconds cannot hold.
func Nanos(t time.Time) int64 {
	switch s := t.Unix(); {
	case s < math.MinInt64/int64(time.Second)+1:
		return math.MinInt64
	case s > math.MaxInt64/int64(time.Second)-1:
		return math.MaxInt64
	}
	return t.UnixNano()
}
