package record

import (
	"encoding/binary"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// What every call or refresh reads is kept in binary: JSON would be a good part
// of what they cost. Times come first, then the sizes of lists and the fixed
// sizes, then all strings, each behind its length. Strings share one allocation
// when they are decoded, and the lists another.

const timeSize = 8 + 4

// AppendTime appends a time. It keeps every one exactly, the zero one included.
func AppendTime(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

// Time reads what AppendTime appended.
func Time(body []byte) (time.Time, error) {
	d := decoder{rest: string(body)}
	t := d.time()
	return t, d.end()
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder takes values off rest. After the first that is not there, failed
// is set and all others are zero.
type decoder struct {
	rest   string
	failed bool
}

func (d *decoder) take(n uint64) string {
	if d.failed || n > uint64(len(d.rest)) {
		d.failed = true
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) uvarint() uint64 {
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		b := d.take(1)
		if d.failed {
			return 0
		}
		n |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			return n
		}
	}
	d.failed = true
	return 0
}

func (d *decoder) time() time.Time {
	s := d.take(timeSize)
	if d.failed {
		return time.Time{}
	}
	var b [timeSize]byte
	copy(b[:], s)
	return time.Unix(int64(binary.BigEndian.Uint64(b[:8])), int64(binary.BigEndian.Uint32(b[8:]))).UTC()
}

func (d *decoder) string() string { return d.take(d.uvarint()) }

// lists takes two lists; an empty one is nil.
func (d *decoder) lists(n, m uint64) (a, b []string) {
	if left := uint64(len(d.rest)); n > left || m > left-n { // each string takes a byte at least
		d.failed = true
		return nil, nil
	}
	all := make([]string, n+m)
	for i := range all {
		all[i] = d.string()
	}
	if n > 0 {
		a = all[:n:n]
	}
	if m > 0 {
		b = all[n:]
	}
	return a, b
}

func (d *decoder) bool() bool { return d.uvarint() > 0 }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// hashes takes hashes behind their number; none are nil.
func (d *decoder) hashes() []storage.Hash {
	n := d.uvarint()
	if n == 0 || n > uint64(len(d.rest)/len(storage.Hash{})) {
		d.failed = d.failed || n > 0
		return nil
	}
	hashes := make([]storage.Hash, n)
	for i := range hashes {
		copy(hashes[i][:], d.take(uint64(len(hashes[i]))))
	}
	return hashes
}

func appendHashes(b []byte, hashes ...storage.Hash) []byte {
	b = binary.AppendUvarint(b, uint64(len(hashes)))
	for i := range hashes {
		b = append(b, hashes[i][:]...)
	}
	return b
}

// hash takes what appendHash appended.
func (d *decoder) hash() *storage.Hash {
	switch hashes := d.hashes(); len(hashes) {
	case 0:
		return nil
	case 1:
		return &hashes[0]
	}
	d.failed = true
	return nil
}

// appendHash appends a hash that may not be there.
func appendHash(b []byte, h *storage.Hash) []byte {
	if h == nil {
		return appendHashes(b)
	}
	return appendHashes(b, *h)
}

// appendMore appends what some grants and tokens have besides: that of an identity of
// a kind with persons, and what a person chose. Records of others stay as earlier
// versions write them.
func appendMore(b []byte, id storage.Identity, chosen []storage.Choice) []byte {
	if id.Person == "" && id.ProviderSession == "" && len(chosen) == 0 {
		return b
	}
	b = appendString(appendString(b, id.Person), id.ProviderSession)
	if len(chosen) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(chosen)))
	for _, c := range chosen {
		b = appendString(appendString(b, c.Resource), string(c.Others))
		b = binary.AppendUvarint(b, uint64(len(c.Tools)))
		b = binary.AppendUvarint(b, uint64(len(c.Without)))
		for _, names := range [...][]string{c.Tools, c.Without} {
			for _, name := range names {
				b = appendString(b, name)
			}
		}
	}
	return b
}

// more takes what appendMore appended.
func (d *decoder) more(id *storage.Identity) (chosen []storage.Choice) {
	if d.rest == "" || d.failed {
		return nil
	}
	id.Person, id.ProviderSession = d.string(), d.string()
	if d.rest == "" {
		d.failed = d.failed || id.Person == "" && id.ProviderSession == "" // not what is written
		return nil
	}
	n := d.uvarint()
	if n == 0 {
		d.failed = true
	}
	for ; n > 0 && !d.failed; n-- {
		c := storage.Choice{Resource: d.string(), Others: storage.Others(d.string())}
		tools, without := d.uvarint(), d.uvarint()
		c.Tools, c.Without = d.lists(tools, without)
		chosen = append(chosen, c)
	}
	return chosen
}

// end reports whether everything was there and nothing is left.
func (d *decoder) end() error {
	if d.failed || d.rest != "" {
		return ErrCorrupt
	}
	return nil
}
