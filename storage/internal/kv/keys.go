package kv

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"iter"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Kinds: the first byte of a key. See the package comment.
const (
	kindAccess      = 'a'
	kindClient      = 'c'
	kindFlow        = 'f'
	kindGrant       = 'g'
	kindClientGrant = 'i'
	kindOnce        = 'j'
	kindCode        = 'k'
	kindQueueCount  = 'n'
	kindQueueSize   = 'l'
	kindRefresh     = 'r'
	kindQueue       = 'u'
	kindSiteValue   = 'v'
)

// replaySuffix makes the key of a replay out of its refresh token's.
const replaySuffix = 'p'

func hashKey(kind byte, h storage.Hash) []byte {
	key := make([]byte, 0, 1+len(h)+1)
	key = append(key, kind)
	return append(key, h[:]...)
}

func idKey(kind byte, id string) []byte {
	key := make([]byte, 0, 1+len(id))
	key = append(key, kind)
	return append(key, id...)
}

func replayKey(h storage.Hash) []byte { return append(hashKey(kindRefresh, h), replaySuffix) }

// scanPrefix yields the pairs whose key starts with prefix, in order.
func scanPrefix(r Reader, prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for key, value := range r.Scan(prefix) {
			if !bytes.HasPrefix(key, prefix) || !yield(key, value) {
				return
			}
		}
	}
}

// digest shortens parts to a fixed width, so that keys have a bound whatever
// a client ID is. Readers compare the full value in the record.
func digest(parts ...string) []byte {
	d := sha256.New()
	for _, part := range parts {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(part)))
		d.Write(size[:])
		d.Write([]byte(part))
	}
	return d.Sum(nil)[:digestSize]
}

func clientGrantsPrefix(issuer, clientID string) []byte {
	return append([]byte{kindClientGrant}, digest(issuer, clientID)...)
}

func clientGrantKey(g storage.Grant) []byte {
	return append(clientGrantsPrefix(g.Issuer, g.ClientID), g.ID...)
}
