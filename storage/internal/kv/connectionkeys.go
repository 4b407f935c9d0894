package kv

import (
	"encoding/binary"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Kinds of what people connected. See the package comment.
const (
	kindBrowserSession  = 'b'
	kindDueRevocation   = 'd'
	kindDisconnect      = 'e'
	kindHandle          = 'h'
	kindSubjectGrant    = 'm'
	kindConnection      = 'o'
	kindUpstreamClient  = 'p'
	kindRevocation      = 'q'
	kindConnectState    = 's'
	kindPendingState    = 't'
	kindSubjectSessions = 'w'
	kindSubjectFlow     = 'x'
	kindBrowserFlow     = 'y'
)

// ownerPrefix starts what belongs to an owner at an issuer; with an empty
// owner, what belongs to anybody there.
func ownerPrefix(kind byte, issuer, owner string) []byte {
	key := append([]byte{kind}, digest(issuer)...)
	if owner == "" {
		return key
	}
	return append(key, digest(owner)...)
}

func connectionsPrefix(issuer, owner string) []byte {
	return ownerPrefix(kindConnection, issuer, owner)
}

func connectionKey(k storage.ConnectionKey) []byte {
	return append(connectionsPrefix(k.Issuer, k.Owner), digest(k.Server)...)
}

func disconnectKey(k storage.ConnectionKey) []byte {
	return append(ownerPrefix(kindDisconnect, k.Issuer, k.Owner), digest(k.Server)...)
}

func handleKey(issuer, id string) []byte {
	return append([]byte{kindHandle}, digest(issuer, id)...)
}

func pendingStatesPrefix(k storage.ConnectionKey) []byte {
	return append(ownerPrefix(kindPendingState, k.Issuer, k.Owner), digest(k.Server)...)
}

func pendingStateKey(s storage.ConnectState) []byte {
	return append(pendingStatesPrefix(s.ConnectionKey), s.Hash[:]...)
}

func upstreamClientKey(issuer, provider, server string) []byte {
	return append([]byte{kindUpstreamClient}, digest(issuer, provider, server)...)
}

func subjectGrantsPrefix(issuer, subject string) []byte {
	return append([]byte{kindSubjectGrant}, digest(issuer, subject)...)
}

func subjectGrantKey(g storage.Grant) []byte {
	return append(subjectGrantsPrefix(g.Issuer, g.Identity.Subject), g.ID...)
}

func subjectSessionsPrefix(issuer, subject string) []byte {
	return append([]byte{kindSubjectSessions}, digest(issuer, subject)...)
}

func subjectSessionKey(s storage.BrowserSession) []byte {
	return append(subjectSessionsPrefix(s.Issuer, s.Identity.Subject), s.Hash[:]...)
}

func subjectFlowsPrefix(issuer, subject string) []byte {
	return append([]byte{kindSubjectFlow}, digest(issuer, subject)...)
}

func subjectFlowKey(f storage.Flow) []byte {
	return append(subjectFlowsPrefix(f.Issuer, f.Identity.Subject), f.ID...)
}

func browserFlowsPrefix(cookie storage.Hash) []byte { return hashKey(kindBrowserFlow, cookie) }

func browserFlowKey(f storage.Flow) []byte { return append(browserFlowsPrefix(f.Browser), f.ID...) }

func dueRevocationsPrefix(issuer string) []byte {
	return append([]byte{kindDueRevocation}, digest(issuer)...)
}

// dueRevocationKey sorts the queue of an issuer by when its entries are due,
// to the second.
func dueRevocationKey(r storage.ProviderRevocation) []byte {
	return append(appendSeconds(dueRevocationsPrefix(r.Issuer), r.DueAt), r.ID...)
}

// appendSeconds appends a time so that keys sort by it, whatever its sign.
func appendSeconds(key []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(t.Unix())^1<<63)
}

// revocationID returns the ID in a dueRevocationKey.
func revocationID(key, prefix []byte) string { return string(key[len(prefix)+8:]) }
