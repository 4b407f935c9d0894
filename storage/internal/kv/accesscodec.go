package kv

import (
	"encoding/binary"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// The binary form of an access token: two times, the sizes of its two lists,
// then all strings, each behind its length. It is decoded for every call that
// misses the cache, so all strings share one allocation, and the lists another.

func appendAccessToken(b []byte, t storage.AccessToken) []byte {
	b = appendTime(b, t.IssuedAt)
	b = appendTime(b, t.ExpiresAt)
	b = binary.AppendUvarint(b, uint64(len(t.Scope)))
	b = binary.AppendUvarint(b, uint64(len(t.Audience)))
	for _, s := range [...]string{t.GrantID, t.Issuer, t.ClientID, t.Identity.Kind, t.Identity.Subject, t.Identity.Name, t.Identity.Proof} {
		b = appendString(b, s)
	}
	for _, s := range t.Scope {
		b = appendString(b, s)
	}
	for _, s := range t.Audience {
		b = appendString(b, s)
	}
	return b
}

func decodeAccessToken(body []byte) (storage.AccessToken, error) {
	var t storage.AccessToken
	d := decoder{rest: string(body)}
	t.IssuedAt = d.time()
	t.ExpiresAt = d.time()
	scopes, audiences := d.uvarint(), d.uvarint()
	for _, s := range [...]*string{&t.GrantID, &t.Issuer, &t.ClientID, &t.Identity.Kind, &t.Identity.Subject, &t.Identity.Name, &t.Identity.Proof} {
		*s = d.string()
	}
	t.Scope, t.Audience = d.lists(scopes, audiences)
	if d.failed || d.rest != "" {
		return storage.AccessToken{}, errCorrupt
	}
	return t, nil
}

const timeSize = 8 + 4

// appendTime keeps every time exactly, the zero one included.
func appendTime(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
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
