package fill

import (
	"bytes"
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"
)

// Bolt fills a file that no process has open. The kinds are those of package kv: the
// first byte of a key, and the name of a bucket; a value begins with a byte for its
// version and the second until which it is kept.
func Bolt(path string, s Size) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: 10 * time.Second, NoSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	b := &boltFill{db: db, now: s.Now.Unix()}
	tenth := s.Expired / 10
	b.repeat("g", s.Grants, 0, func(n, of int) []byte { return []byte(id("grant", n, of)) })
	b.repeat("i", s.Grants, 0, func(n, of int) []byte { // the grants of a client are side by side
		clients := max(s.Clients, 1)
		client := n * clients / of
		return append(key("client", client, clients)[:16], id("grant", n%max(of/clients, 1), of)...)
	})
	b.repeat("m", s.Grants, 0, func(n, of int) []byte { return append(key("subject", n, of)[:16], id("grant", n, of)...) })
	b.repeat("c", s.Clients, 0, func(n, of int) []byte { return []byte(id("client", n, of)) })
	b.repeat("a", s.Grants, accessTokens*tenth, func(n, of int) []byte { return key("access", n, of) })
	b.repeat("r", s.Grants, refreshTokens*tenth, func(n, of int) []byte { return key("refresh", n, of) })
	b.repeat("k", 0, codes*tenth, func(n, of int) []byte { return key("code", n, of) })
	b.repeat("f", 0, flows*tenth, func(n, of int) []byte { return []byte(id("flow", n, of)) })
	if b.err != nil {
		return b.err
	}
	return db.Sync()
}

type boltFill struct {
	db  *bbolt.DB
	now int64
	err error
}

// repeat puts so many copies of one record of a kind under keys that are in order.
func (b *boltFill) repeat(kind string, live, expired int, key func(n, of int) []byte) {
	const batch = 50_000
	all := live + expired
	for from := 0; from < all && b.err == nil; from += batch {
		b.err = b.db.Update(func(tx *bbolt.Tx) error {
			bucket := tx.Bucket([]byte(kind))
			if bucket == nil {
				return errNoTemplate
			}
			first, value := bucket.Cursor().First()
			if first == nil {
				return errNoTemplate
			}
			over := bytes.Clone(value)
			value = bytes.Clone(value)
			bucket.FillPercent = 0.7 // as full as chance leaves pages
			for n := from; n < min(from+batch, all); n++ {
				v := value
				if ended(n, expired, all) {
					v = bytes.Clone(over)
					binary.BigEndian.PutUint64(v[1:], uint64(b.now-1-int64(n)%(30*24*3600)))
				}
				if err := bucket.Put(append([]byte(kind), key(n, all)...), v); err != nil {
					return err
				}
			}
			return nil
		})
	}
}
