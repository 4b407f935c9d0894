package mcp

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

const (
	// tagLen is the length of the proof at the end of a bound id: an
	// HMAC-SHA-256 in base64url.
	tagLen = 43
	// A note before the tag says more of some sessions: whether their client
	// opens URLs, and a digest of the link they were opened with.
	linkLen = 11
	noteLen = 1 + linkLen

	noteURL   = 'u'
	noteNoURL = 'n'
)

// Sessions binds MCP session ids to the grant and the server they were opened
// with. An id alone then opens nothing: who finds one cannot use it with a
// token of their own. All methods are safe for concurrent use.
type Sessions struct {
	macs seal.MACs // one binds, all verify
}

// SessionsOf returns the binding of a site under the keys of a ring.
func SessionsOf(keys *seal.Keyring, issuer string) *Sessions {
	return &Sessions{keys.MACs("mcp-session " + issuer)}
}

// NewSessions returns the binding under the keys: the first binds, all verify.
// There must be at least one.
func NewSessions(keys ...[32]byte) *Sessions {
	return &Sessions{seal.NewMACs(keys...)}
}

// Session is what a bound id tells.
type Session struct {
	// ID is the upstream's.
	ID string
	// URLElicitation tells that the client declared, when it initialized, that
	// it opens URLs for people who agree.
	URLElicitation bool

	link string // digest; "" for a session of no link
}

// OpenedWith reports whether the session was opened with this link to the
// upstream; "" is none. Another link may be another account.
func (s Session) OpenedWith(link string) bool {
	if link == "" || s.link == "" {
		return link == s.link
	}
	digest := digestOf(link)
	return string(digest[:]) == s.link
}

// Wrap returns the session id to give to the client for one the upstream
// server issued. It stays within visible ASCII if the upstream's id does.
func (s *Sessions) Wrap(grantID, serverID, upstream string) string {
	return s.wrap(grantID, serverID, upstream, "")
}

// WrapLinked is Wrap for a session that was opened with a person's link to the
// upstream.
func (s *Sessions) WrapLinked(grantID, serverID, upstream, link string, urlElicitation bool) string {
	digest := digestOf(link)
	flag := byte(noteNoURL)
	if urlElicitation {
		flag = noteURL
	}
	return s.wrap(grantID, serverID, upstream, string(flag)+string(digest[:]))
}

func (s *Sessions) wrap(grantID, serverID, upstream, note string) string {
	if upstream == "" {
		return ""
	}
	tag := s.tag(s.macs.First(), grantID, serverID, upstream, note)
	return upstream + "." + note + string(tag[:])
}

// Unwrap returns the session, if the client's id was wrapped for the same
// grant and server. Else the answer is 404, upon which a client opens a new
// session.
func (s *Sessions) Unwrap(grantID, serverID, wrapped string) (Session, bool) {
	dot := strings.LastIndexByte(wrapped, '.')
	tail := len(wrapped) - dot - 1
	if dot < 1 || tail != tagLen && tail != noteLen+tagLen {
		return Session{}, false
	}
	id, note := wrapped[:dot], wrapped[dot+1:len(wrapped)-tagLen]
	var presented [tagLen]byte
	copy(presented[:], wrapped[len(wrapped)-tagLen:])
	for i := range s.macs.Len() {
		tag := s.tag(i, grantID, serverID, id, note)
		if subtle.ConstantTimeCompare(tag[:], presented[:]) != 1 {
			continue
		}
		if note == "" {
			return Session{ID: id}, true
		}
		return Session{ID: id, URLElicitation: note[0] == noteURL, link: note[1:]}, true
	}
	return Session{}, false
}

func digestOf(link string) (digest [linkLen]byte) {
	sum := sha256.Sum256([]byte(link))
	base64.RawURLEncoding.Encode(digest[:], sum[:8])
	return digest
}

// tag authenticates what a session is bound to. A session without a note has
// none in what is authenticated.
func (s *Sessions) tag(key int, grantID, serverID, upstream, note string) (tag [tagLen]byte) {
	parts := [...]string{grantID, serverID, upstream, note}
	n := len(parts)
	if note == "" {
		n--
	}
	sum := s.macs.Sum(key, parts[:n]...)
	base64.RawURLEncoding.Encode(tag[:], sum[:])
	return tag
}
