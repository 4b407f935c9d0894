package mcp

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"strings"
	"sync"
)

// tagLen is the length of the proof behind the last dot of a bound id: an
// HMAC-SHA-256 in base64url.
const tagLen = 43

// Sessions binds MCP session ids to the grant and the server they were opened
// with. An id alone then opens nothing: who finds one cannot use it with a
// token of their own. All methods are safe for concurrent use.
type Sessions struct {
	keys []*sync.Pool // of *signer; the first signs, all verify
}

// NewSessions returns the binding under the keys: the first binds, all verify.
// There must be at least one.
func NewSessions(keys ...[32]byte) *Sessions {
	s := &Sessions{keys: make([]*sync.Pool, len(keys))}
	for i, key := range keys {
		s.keys[i] = &sync.Pool{New: func() any {
			return &signer{mac: hmac.New(sha256.New, key[:])}
		}}
	}
	return s
}

// Wrap returns the session id to give to the client for one the upstream
// server issued. It stays within visible ASCII if the upstream's id does.
func (s *Sessions) Wrap(grantID, serverID, upstream string) string {
	if upstream == "" {
		return ""
	}
	tag := s.tag(0, grantID, serverID, upstream)
	return upstream + "." + string(tag[:])
}

// Unwrap returns the upstream's session id, if the client's was wrapped for
// the same grant and server. Else the answer is 404, upon which a client opens
// a new session.
func (s *Sessions) Unwrap(grantID, serverID, wrapped string) (string, bool) {
	dot := strings.LastIndexByte(wrapped, '.')
	if dot < 1 || len(wrapped)-dot-1 != tagLen {
		return "", false
	}
	var presented [tagLen]byte
	copy(presented[:], wrapped[dot+1:])
	for i := range s.keys {
		tag := s.tag(i, grantID, serverID, wrapped[:dot])
		if subtle.ConstantTimeCompare(tag[:], presented[:]) == 1 {
			return wrapped[:dot], true
		}
	}
	return "", false
}

// signer is a keyed HMAC with the scratch space it needs, reused because
// setting up the key costs more than the signature.
type signer struct {
	mac     hash.Hash
	message []byte
	sum     []byte
}

func (s *Sessions) tag(key int, parts ...string) (tag [tagLen]byte) {
	sg := s.keys[key].Get().(*signer)
	defer s.keys[key].Put(sg)
	sg.message = sg.message[:0]
	for _, p := range parts { // length first: no two lists of parts look alike
		sg.message = binary.BigEndian.AppendUint32(sg.message, uint32(len(p)))
		sg.message = append(sg.message, p...)
	}
	sg.mac.Reset()
	sg.mac.Write(sg.message)
	sg.sum = sg.mac.Sum(sg.sum[:0])
	base64.RawURLEncoding.Encode(tag[:], sg.sum)
	return tag
}
