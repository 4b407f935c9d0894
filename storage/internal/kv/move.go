package kv

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// moved is how a kind of record is kept here, for whoever moves all of them to another
// store. What finds a record is not moved, but made anew.
type moved struct {
	kind byte
	// digests is how many of them are the id of a record whose key its body does not
	// tell, and hashed tells that the id is a hash.
	digests int
	hashed  bool
	suffix  string // behind the hash
	// key is that of a record whose body tells it, and index what finds it.
	key   func(value any) []byte
	index func(tx Tx, m record.Moved) error
}

// movedKinds has one for each of record.Kinds, but for places in queues.
var movedKinds = map[string]moved{
	"access_tokens":       {kind: kindAccess, hashed: true},
	"refresh_tokens":      {kind: kindRefresh, hashed: true},
	"replays":             {kind: kindRefresh, hashed: true, suffix: string(replaySuffix)},
	"codes":               {kind: kindCode, hashed: true},
	"used_values":         {kind: kindOnce, hashed: true},
	"disconnects":         {kind: kindDisconnect, digests: 3},
	"virtual_key_changes": {kind: kindVirtualKey, digests: 1},
	"browser_sessions": {kind: kindBrowserSession, hashed: true, index: func(tx Tx, m record.Moved) error {
		return tx.Put(subjectSessionKey(*m.Value.(*storage.BrowserSession)), record.New(m.Keep, 0))
	}},
	"connect_states": {kind: kindConnectState, hashed: true, index: func(tx Tx, m record.Moved) error {
		return tx.Put(pendingStateKey(*m.Value.(*storage.ConnectState)), record.New(m.Keep, 0))
	}},
	"grants": {kind: kindGrant, key: func(v any) []byte { return idKey(kindGrant, v.(*storage.Grant).ID) }, index: indexGrant},
	"clients": {kind: kindClient, key: func(v any) []byte { return idKey(kindClient, v.(*storage.Client).ID) }, index: func(tx Tx, m record.Moved) error {
		if c := m.Value.(*storage.Client); !c.Used {
			return enter(tx, clientPlace(*c), record.Forever, nil, bounds{})
		}
		return nil
	}},
	"flows": {kind: kindFlow, key: func(v any) []byte { return idKey(kindFlow, v.(*storage.Flow).ID) }, index: func(tx Tx, m record.Moved) error {
		f := m.Value.(*storage.Flow)
		return errors.Join(tx.Put(subjectFlowKey(*f), record.New(m.Keep, 0)), tx.Put(browserFlowKey(*f), record.New(m.Keep, 0)))
	}},
	"site_values": {kind: kindSiteValue, key: func(v any) []byte {
		return siteValueKey(v.(*storage.SiteValue).Issuer, v.(*storage.SiteValue).Name)
	}},
	"upstream_clients": {kind: kindUpstreamClient, key: func(v any) []byte {
		c := v.(*storage.UpstreamClient)
		return upstreamClientKey(c.Issuer, c.Provider, c.Server)
	}},
	"virtual_keys": {kind: kindVirtualKey, key: func(v any) []byte {
		return virtualKeyKey(v.(*storage.VirtualKey).Issuer, v.(*storage.VirtualKey).Look)
	}},
	"connections": {kind: kindConnection, key: func(v any) []byte { return connectionKey(v.(*storage.Connection).ConnectionKey) }, index: func(tx Tx, m record.Moved) error {
		c := m.Value.(*storage.Connection)
		key := connectionKey(c.ConnectionKey)
		return tx.Put(handleKey(c.Issuer, c.ID), append(record.New(m.Keep, len(key)), key...))
	}},
	"revocations": {kind: kindRevocation, key: func(v any) []byte { return idKey(kindRevocation, v.(*storage.ProviderRevocation).ID) }, index: func(tx Tx, m record.Moved) error {
		return tx.Put(dueRevocationKey(*m.Value.(*storage.ProviderRevocation)), record.New(m.Keep, 0))
	}},
	"persons": {kind: kindPerson, key: func(v any) []byte {
		return personKey(v.(*storage.Person).Issuer, v.(*storage.Person).Subject)
	}, index: func(tx Tx, m record.Moved) error {
		if p := m.Value.(*storage.Person); !p.DueAt.IsZero() {
			return tx.Put(duePersonKey(*p), record.New(m.Keep, 0))
		}
		return nil
	}},
}

// derivedKinds are those that are made anew from the others.
var derivedKinds = []byte{
	kindDueRevocation, kindHandle, kindClientGrant, kindSubjectGrant, kindQueueSize, kindQueueCount,
	kindPendingState, kindSubjectSessions, kindSubjectFlow, kindBrowserFlow, kindDuePerson,
}

// Unmoved returns the kinds of records that are there and that nobody here knows, so that
// a move would leave them behind.
func Unmoved(r Reader) (kinds []byte) {
	known := append([]byte{kindQueue}, derivedKinds...)
	for _, k := range movedKinds {
		known = append(known, k.kind)
	}
	for kind := range 256 {
		for key := range r.Scan([]byte{byte(kind)}) {
			if key[0] == byte(kind) && !bytes.Contains(known, key[:1]) {
				kinds = append(kinds, byte(kind))
			}
			break
		}
	}
	return kinds
}

func indexGrant(tx Tx, m record.Moved) error {
	g := m.Value.(*storage.Grant)
	if !g.RevokedAt.IsZero() {
		return nil
	}
	return putGrantIndex(tx, *g)
}

// idSize is how long the id is.
func (k moved) idSize() int {
	if k.hashed {
		return len(storage.Hash{})
	}
	return k.digests * record.DigestSize
}

// holds reports whether a key with the kind's first byte is of the kind.
func (k moved) holds(key []byte) bool {
	switch {
	case k.kind == kindVirtualKey: // two kinds, told by their length
		return (k.digests == 1) == (len(key) == 1+record.DigestSize)
	case k.kind == kindRefresh:
		return (k.suffix != "") == (len(key) == 1+len(storage.Hash{})+len(string(replaySuffix)))
	}
	return true
}

// MovePage returns the records of a kind behind a key, of up to limit that it looks
// at, and the key of the last of those, nil at the end.
func MovePage(r Reader, kind record.Kind, after []byte, limit int) (page []record.Moved, next []byte, err error) {
	k, kept := movedKinds[kind.Name]
	if !kept {
		return movePlaces(r, kind, after, limit)
	}
	looked := 0
	for key, value := range scanBehind(r, k.kind, after) {
		if looked == limit {
			return page, next, nil
		}
		looked++
		next = bytes.Clone(key)
		if !k.holds(key) {
			continue
		}
		m, err := k.read(kind, key, value)
		if err != nil {
			return nil, nil, fmt.Errorf("%s %s cannot be read: %w", checkedKinds[k.kind].name, hex.EncodeToString(key[1:]), err)
		}
		page = append(page, m)
	}
	return page, nil, nil
}

// scanBehind yields the pairs of a kind behind a key, or from the first.
func scanBehind(r Reader, kind byte, after []byte) func(yield func(key, value []byte) bool) {
	return func(yield func(key, value []byte) bool) {
		from := append(bytes.Clone(after), 0) // no key is between
		if after == nil {
			from = []byte{kind}
		}
		for key, value := range r.Scan(from) {
			if key[0] != kind || !yield(key, value) {
				return
			}
		}
	}
}

func (k moved) read(kind record.Kind, key, value []byte) (m record.Moved, err error) {
	m.Kind = kind
	var body []byte
	if m.Keep, body, err = record.Open(value); err != nil {
		return m, err
	}
	if size := k.idSize(); size > 0 {
		if len(key) != 1+size+len(k.suffix) {
			return m, record.ErrCorrupt
		}
		m.ID = bytes.Clone(key[1 : 1+size])
	}
	if m.Value, err = kind.Read(m.ID, body); err == nil && k.key != nil && !bytes.Equal(k.key(m.Value), key) {
		err = record.ErrCorrupt // somebody moved the record
	}
	return m, err
}

// PutMoved stores a record with what finds it. Of one kind none may be there before.
func PutMoved(tx Tx, m record.Moved) error {
	k, kept := movedKinds[m.Kind.Name]
	if !kept {
		return putPlace(tx, m)
	}
	key := append(append([]byte{k.kind}, m.ID...), k.suffix...)
	if k.key != nil {
		key = k.key(m.Value)
	}
	body, err := m.Kind.Write(m.Value)
	if err != nil {
		return err
	}
	if err := tx.Put(key, append(record.New(m.Keep, len(body)), body...)); err != nil || k.index == nil {
		return err
	}
	return k.index(tx, m)
}

// movePlaces is MovePage for places, of which those of clients are made anew. A place
// whose record is gone already is as good as none.
func movePlaces(r Reader, kind record.Kind, after []byte, limit int) (page []record.Moved, next []byte, err error) {
	looked := 0
	for key, value := range scanBehind(r, kindQueue, after) {
		if looked == limit {
			return page, next, nil
		}
		looked++
		next = bytes.Clone(key)
		p, extra, err := openPlace(key, value)
		if err != nil {
			return nil, nil, fmt.Errorf("place in a queue %s cannot be read: %w", hex.EncodeToString(key[1:]), err)
		}
		if keep, _, _ := record.Open(value); keep == record.Forever {
			continue // a client's
		}
		of, at := "browser_session_places", append([]byte{kindBrowserSession}, p.id...)
		if len(extra) > 0 {
			of, at = "grant_places", idKey(kindGrant, p.id)
		}
		if of != kind.Name || r.Get(at) == nil {
			continue
		}
		place := record.Place{Sender: p.sender, Group: p.group, At: int64(binary.BigEndian.Uint64(key[1+record.DigestSize:])), ID: p.id}
		if len(extra) > 0 {
			place.Code = extra
		}
		page = append(page, record.Moved{Kind: kind, Value: &place})
	}
	return page, nil, nil
}

var errNoRecord = errors.New("storage: a place in a queue has no record")

// putPlace puts a record that is there into its queue.
func putPlace(tx Tx, m record.Moved) error {
	p := m.Value.(*record.Place)
	var keep record.Keep
	if m.Kind.Name == "grant_places" {
		g, found, err := getGrant(tx, p.ID)
		if err != nil || !found {
			return errors.Join(err, errNoRecord)
		}
		keep = record.Until(g.AbsoluteExpiresAt)
	} else {
		if len(p.ID) != len(storage.Hash{}) {
			return record.ErrCorrupt
		}
		b, found, err := getBrowserSession(tx, storage.Hash([]byte(p.ID)))
		if err != nil || !found {
			return errors.Join(err, errNoRecord)
		}
		keep = record.Until(b.ExpiresAt)
	}
	at := time.Unix(0, p.At)
	return enter(tx, place{sender: p.Sender, group: p.Group, at: at, id: p.ID}, keep, p.Code, bounds{})
}
