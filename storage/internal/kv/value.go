package kv

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"time"
)

// errCorrupt: a value is not what this version writes.
var errCorrupt = errors.New("storage: corrupt record")

const (
	valueVersion = 1
	valueHeader  = 1 + 8
)

// keep is a value's last second, in Unix time; Sweep removes what is past it.
type keep int64

const forever keep = math.MaxInt64

// until rounds up, so that nothing is swept early.
func until(t time.Time) keep {
	seconds := t.Unix()
	if t.Nanosecond() > 0 {
		seconds++
	}
	return keep(seconds)
}

// latest returns the later one.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// over reports whether the value may be swept.
func (k keep) over(now time.Time) bool { return int64(k) <= now.Unix() }

// newValue returns the header, with room for a body.
func newValue(k keep, room int) []byte {
	v := make([]byte, 0, valueHeader+room)
	v = append(v, valueVersion)
	return binary.BigEndian.AppendUint64(v, uint64(k))
}

// openValue splits a value.
func openValue(v []byte) (keep, []byte, error) {
	if len(v) < valueHeader || v[0] != valueVersion {
		return 0, nil, errCorrupt
	}
	return keep(binary.BigEndian.Uint64(v[1:])), v[valueHeader:], nil
}

// getBinary reads a record with decode; it reports false when there is none.
func getBinary[T any](r Reader, key []byte, decode func([]byte) (T, error)) (record T, found bool, err error) {
	v := r.Get(key)
	if v == nil {
		return record, false, nil
	}
	_, body, err := openValue(v)
	if err != nil {
		return record, false, err
	}
	record, err = decode(body)
	return record, err == nil, err
}

// getJSON reads a record; it reports false when there is none.
func getJSON(r Reader, key []byte, record any) (bool, error) {
	v := r.Get(key)
	if v == nil {
		return false, nil
	}
	_, body, err := openValue(v)
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(body, record); err != nil {
		return false, errCorrupt // the cause would quote the record
	}
	return true, nil
}

func putJSON(tx Tx, key []byte, k keep, record any) error {
	body, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return tx.Put(key, append(newValue(k, len(body)), body...))
}
