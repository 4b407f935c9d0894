package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// ConnectPath starts the path of links on which a person connects a server.
const ConnectPath = "/oauth/connect/"

// ConnectLinkLifetime is how long a link works on which somebody connects.
const ConnectLinkLifetime = 15 * time.Minute

// Errors of a connect link.
var (
	ErrLinkInvalid = errors.New("authz: no such link")         // 400
	ErrLinkExpired = errors.New("authz: the link has expired") // 410
	ErrLinkUsed    = errors.New("authz: the link was used")    // 410
)

// ConnectLink is what a link to the connect page stands for.
type ConnectLink struct {
	// Person is whose connection it is about.
	Person personDigest
	Server string
	// Scopes are missing at the provider, besides what the server always needs.
	Scopes    []string
	ExpiresAt time.Time
	// Service is the subject of the service person for whom an operator asked for the
	// link; empty for any other.
	Service string
	// Once names a link that connects at most one account: one that an operator asked
	// for, which is its own proof. Zero for any other.
	Once storage.Hash
	// LastDisconnect is that of the connection when such a link was made: the link
	// ends with the next. 0 for any other link.
	LastDisconnect uint64
}

// personDigest stands for a person, and what proved who they are, in a link: a
// link must be short, as some clients cut the text that it is in.
type personDigest [12]byte

// digestOf returns the digest of a person.
func digestOf(id storage.Identity) personDigest {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte(id.Subject+id.Proof), uint32(len(id.Subject))))
	return personDigest(sum[:])
}

var sharedOwner = storage.Identity{Subject: storage.SharedOwner}

// IsShared reports whether the link is for the connection that everybody
// shares.
func (l *ConnectLink) IsShared() bool { return l.IsFor(sharedOwner) }

// IsOperators reports whether an operator asked for the link: whoever has it connects
// what it is for.
func (l *ConnectLink) IsOperators() bool { return l.Service != "" || l.IsShared() }

// owner is whose connection such a link is about.
func (l *ConnectLink) owner() string {
	if l.Service != "" {
		return l.Service
	}
	return storage.SharedOwner
}

// IsFor reports whether the link was made for the person.
func (l *ConnectLink) IsFor(id storage.Identity) bool { return l.Person == digestOf(id) }

// pack returns expiry ‖ person ‖ length of the server's id ‖ id ‖ scopes and, for a
// link of an operator, 0 ‖ the last disconnect and, for a service person, 0 ‖ subject.
func (l *ConnectLink) pack() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(l.ExpiresAt.Unix()))
	b = append(b, l.Person[:]...)
	b = append(binary.AppendUvarint(b, uint64(len(l.Server))), l.Server...)
	b = append(b, strings.Join(l.Scopes, " ")...)
	if l.LastDisconnect == 0 && l.Service == "" {
		return b
	}
	b = strconv.AppendUint(append(b, 0), l.LastDisconnect, 10)
	if l.Service == "" {
		return b
	}
	return append(append(b, 0), l.Service...)
}

// unpackConnectLink reverses pack.
func unpackConnectLink(b []byte) (*ConnectLink, error) {
	const header = 4 + len(personDigest{})
	if len(b) < header {
		return nil, ErrLinkInvalid
	}
	n, size := binary.Uvarint(b[header:])
	rest := b[min(len(b), header+max(size, 0)):]
	if size <= 0 || n > uint64(len(rest)) {
		return nil, ErrLinkInvalid
	}
	scopes, last, found := strings.Cut(string(rest[n:]), "\x00")
	l := &ConnectLink{
		Person: personDigest(b[4:]), Server: string(rest[:n]), Scopes: strings.Fields(scopes),
		ExpiresAt: time.Unix(int64(binary.BigEndian.Uint32(b)), 0),
	}
	if !found {
		return l, nil
	}
	var err error
	last, l.Service, _ = strings.Cut(last, "\x00")
	if l.LastDisconnect, err = strconv.ParseUint(last, 10, 64); err != nil {
		return nil, ErrLinkInvalid
	}
	return l, nil
}

// Links makes and opens the links on which people connect servers of one issuer.
type Links struct {
	issuer string
	keys   *seal.Keyring
	store  Store
	now    func() time.Time
	// ahead is how far the clock is ahead by which links end: one process makes a
	// link, and another opens it.
	ahead func() time.Duration
}

// SharedURL returns a link on which an operator connects a server for
// everybody. It is good until the server is disconnected.
func (ls *Links) SharedURL(ctx context.Context, server string) (string, error) {
	link := ConnectLink{Person: digestOf(sharedOwner), Server: server}
	return ls.operators(ctx, link)
}

// ServiceURL returns a link on which an operator connects a server for a service
// person, as SharedURL does for everybody.
func (ls *Links) ServiceURL(ctx context.Context, id storage.Identity, server string) (string, error) {
	return ls.operators(ctx, ConnectLink{Person: digestOf(id), Server: server, Service: id.Subject})
}

func (ls *Links) operators(ctx context.Context, link ConnectLink) (url string, err error) {
	if link.LastDisconnect, err = ls.lastDisconnect(ctx, &link); err != nil {
		return "", err
	}
	return ls.sealed(link), nil
}

// lastDisconnect returns that of the connection that a link of an operator is about.
func (ls *Links) lastDisconnect(ctx context.Context, link *ConnectLink) (uint64, error) {
	k := storage.ConnectionKey{Issuer: ls.issuer, Owner: link.owner(), Server: link.Server}
	last, err := ls.store.LastDisconnect(ctx, k)
	if err != nil {
		return 0, oauth.Unavailable(err)
	}
	return last, nil
}

// URL returns a link on which a person connects a server. It is sealed, so it
// does not show whom it is for, and it proves nothing: the browser that opens it
// must be signed in as that person (MCP elicitation, safe URL handling). Only one
// that an operator asks for is its own proof, and works once.
func (ls *Links) URL(id storage.Identity, server string, scopes ...string) string {
	return ls.sealed(ConnectLink{Person: digestOf(id), Server: server, Scopes: scopes})
}

func (ls *Links) sealed(link ConnectLink) string {
	link.ExpiresAt = ls.now().Add(ConnectLinkLifetime + ls.ahead())
	sealed := ls.keys.Seal(link.pack(), "connect link", ls.issuer)
	return ls.issuer + ConnectPath + base64.RawURLEncoding.EncodeToString(sealed)
}

// Open returns what the last segment of a link stands for. With
// ErrLinkExpired it still does.
func (ls *Links) Open(ticket string) (*ConnectLink, error) {
	box, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil {
		return nil, ErrLinkInvalid
	}
	plain, err := ls.keys.Open(box, "connect link", ls.issuer)
	if err != nil {
		return nil, ErrLinkInvalid
	}
	link, err := unpackConnectLink(plain)
	if err != nil {
		return nil, err
	}
	if link.IsOperators() {
		link.Once = storage.HashOf(string(box))
	}
	if !ls.now().Add(ls.ahead()).Before(link.ExpiresAt) {
		return link, ErrLinkExpired
	}
	return link, nil
}

// CheckUnused returns ErrLinkUsed if the link has connected all that it
// can, and ErrLinkExpired if an operator ended what it was made for.
func (ls *Links) CheckUnused(ctx context.Context, link *ConnectLink) error {
	if link.Once == (storage.Hash{}) {
		return nil
	}
	used, err := ls.store.Used(ctx, link.Once, ls.now())
	if err != nil {
		return oauth.Unavailable(err)
	}
	if used {
		return ErrLinkUsed
	}
	last, err := ls.lastDisconnect(ctx, link)
	if err == nil && last > link.LastDisconnect {
		return ErrLinkExpired
	}
	return err
}
