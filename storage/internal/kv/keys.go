package kv

import (
	"bytes"
	"encoding/binary"
	"iter"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
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
	kindVirtualKey  = 'z'
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

func clientGrantsPrefix(issuer, clientID string) []byte {
	return append([]byte{kindClientGrant}, record.Digest(issuer, clientID)...)
}

func clientGrantKey(g storage.Grant) []byte {
	return append(clientGrantsPrefix(g.Issuer, g.ClientID), g.ID...)
}

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
	kindDuePerson       = 'D'
	kindPerson          = 'P'
)

// ownerPrefix starts what belongs to an owner at an issuer; with an empty
// owner, what belongs to anybody there.
func ownerPrefix(kind byte, issuer, owner string) []byte {
	key := append([]byte{kind}, record.Digest(issuer)...)
	if owner == "" {
		return key
	}
	return append(key, record.Digest(owner)...)
}

func connectionsPrefix(issuer, owner string) []byte {
	return ownerPrefix(kindConnection, issuer, owner)
}

func connectionKey(k storage.ConnectionKey) []byte {
	return append(connectionsPrefix(k.Issuer, k.Owner), record.Digest(k.Server)...)
}

func disconnectKey(k storage.ConnectionKey) []byte {
	return append(ownerPrefix(kindDisconnect, k.Issuer, k.Owner), record.Digest(k.Server)...)
}

func handleKey(issuer, id string) []byte {
	return append([]byte{kindHandle}, record.Digest(issuer, id)...)
}

func pendingStatesPrefix(k storage.ConnectionKey) []byte {
	return append(ownerPrefix(kindPendingState, k.Issuer, k.Owner), record.Digest(k.Server)...)
}

func pendingStateKey(s storage.ConnectState) []byte {
	return append(pendingStatesPrefix(s.ConnectionKey), s.Hash[:]...)
}

func upstreamClientKey(issuer, provider, server string) []byte {
	return append(ownerPrefix(kindUpstreamClient, issuer, ""), record.Digest(provider, server)...)
}

func subjectGrantsPrefix(issuer, subject string) []byte {
	return append([]byte{kindSubjectGrant}, record.Digest(issuer, subject)...)
}

func subjectGrantKey(g storage.Grant) []byte {
	return append(subjectGrantsPrefix(g.Issuer, g.Identity.Subject), g.ID...)
}

func subjectSessionsPrefix(issuer, subject string) []byte {
	return append([]byte{kindSubjectSessions}, record.Digest(issuer, subject)...)
}

func subjectSessionKey(s storage.BrowserSession) []byte {
	return append(subjectSessionsPrefix(s.Issuer, s.Identity.Subject), s.Hash[:]...)
}

func subjectFlowsPrefix(issuer, subject string) []byte {
	return append([]byte{kindSubjectFlow}, record.Digest(issuer, subject)...)
}

func subjectFlowKey(f storage.Flow) []byte {
	return append(subjectFlowsPrefix(f.Issuer, f.Identity.Subject), f.ID...)
}

func browserFlowsPrefix(cookie storage.Hash) []byte { return hashKey(kindBrowserFlow, cookie) }

func browserFlowKey(f storage.Flow) []byte { return append(browserFlowsPrefix(f.Browser), f.ID...) }

func dueRevocationsPrefix(issuer string) []byte {
	return append([]byte{kindDueRevocation}, record.Digest(issuer)...)
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
