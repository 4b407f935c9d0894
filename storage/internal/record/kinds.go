package record

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A Kind is one kind of record that every store keeps, whatever else it keeps to find
// it by. It is what a move from one store to another goes by.
type Kind struct {
	// Name is what it is called in PostgreSQL: the table, but for places in queues.
	Name string
	// Read reads a body. The id is what is no part of it, such as a hash.
	Read func(id, body []byte) (value any, err error)
	// Write writes what Read read. Times come out in UTC.
	Write func(value any) ([]byte, error)
	times func(value any) []*time.Time
}

// Moved is a record on its way from one store to another.
type Moved struct {
	Kind Kind
	// ID is what tells it from others and is not in its body, such as a hash; else nil.
	ID   []byte
	Keep Keep
	// Value is a pointer to a record of package storage, or to one of those below.
	Value any
}

// Canonical is the record in a form that is the same for every store.
func (m Moved) Canonical() ([]byte, error) {
	body, err := m.Kind.Write(m.Value)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(m.Keep))
	return append(appendString(b, string(m.ID)), body...), nil
}

// Shift moves the times of a value of the kind, but for zero ones, which mean none.
func (k Kind) Shift(value any, by time.Duration) {
	for _, t := range k.times(value) {
		if !t.IsZero() {
			*t = t.Add(by).UTC()
		}
	}
}

// Place is where a grant or a browser session waits in a queue.
type Place struct {
	Sender, Group []byte // digests; Group is nil if there is none
	At            int64  // Unix nanoseconds
	ID            string // of the record
	Code          []byte // of a grant: the hash of its code
}

// Number is a record that is nothing but a number behind digests.
type Number uint64

// OneTime is a value used once, and Replay a sealed response.
type (
	OneTime = storage.OneTime
	Replay  struct {
		Hash storage.Hash
		Body []byte
	}
)

// Kinds are all of them, in the order in which they are moved: a place comes behind
// its record. A test fails for a kind of kv, or a table of pgstore, that is not here.
var Kinds = []Kind{
	jsonKind("clients", ClientTimes, nil),
	jsonKind("persons", PersonTimes, nil),
	jsonKind("virtual_keys", VirtualKeyTimes, nil),
	numberKind("virtual_key_changes"),
	jsonKind("site_values", SiteValueTimes, nil),
	jsonKind("upstream_clients", UpstreamTimes, nil),
	jsonKind("connections", ConnectionTimes, nil),
	numberKind("disconnects"),
	jsonKind("connect_states", StateTimes, func(s *storage.ConnectState) *storage.Hash { return &s.Hash }),
	jsonKind("revocations", RevocationTimes, nil),
	jsonKind("flows", FlowTimes, nil),
	jsonKind("browser_sessions", SessionTimes, func(b *storage.BrowserSession) *storage.Hash { return &b.Hash }),
	placeKind("browser_session_places"),
	binaryKind("grants", Grant, AppendGrant, GrantTimes, nil),
	placeKind("grant_places"),
	jsonKind("codes", CodeTimes, func(c *storage.Code) *storage.Hash { return &c.Hash }),
	binaryKind("refresh_tokens", RefreshToken, AppendRefreshToken, RefreshTimes, func(t *storage.RefreshToken) *storage.Hash { return &t.Hash }),
	binaryKind("replays", readReplay, appendReplay, noTimes, func(r *Replay) *storage.Hash { return &r.Hash }),
	binaryKind("access_tokens", AccessToken, AppendAccessToken, AccessTimes, func(t *storage.AccessToken) *storage.Hash { return &t.Hash }),
	binaryKind("used_values", readOneTime, appendOneTime, oneTimeTimes, func(v *OneTime) *storage.Hash { return &v.Hash }),
}

// KindOf returns the kind with the name; false if there is none.
func KindOf(name string) (Kind, bool) {
	for _, k := range Kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// binaryKind is a kind of values of type T. hash returns where the id goes.
func binaryKind[T any](name string, read func([]byte) (T, error), write func([]byte, T) []byte, times func(*T) []*time.Time, hash func(*T) *storage.Hash) Kind {
	return kind(name, read, func(v T) ([]byte, error) { return write(nil, v), nil }, times, hash)
}

func jsonKind[T any](name string, times func(*T) []*time.Time, hash func(*T) *storage.Hash) Kind {
	read := func(body []byte) (v T, err error) {
		if json.Unmarshal(body, &v) != nil {
			err = ErrCorrupt // the cause would quote the record
		}
		return v, err
	}
	return kind(name, read, func(v T) ([]byte, error) { return json.Marshal(v) }, times, hash)
}

func kind[T any](name string, read func([]byte) (T, error), write func(T) ([]byte, error), times func(*T) []*time.Time, hash func(*T) *storage.Hash) Kind {
	k := Kind{Name: name, times: func(value any) []*time.Time { return times(value.(*T)) }}
	k.Read = func(id, body []byte) (any, error) {
		v, err := read(body)
		if err != nil {
			return nil, err
		}
		if hash != nil {
			if len(id) != len(storage.Hash{}) {
				return nil, ErrCorrupt
			}
			*hash(&v) = storage.Hash(id)
		}
		k.Shift(&v, 0)
		return &v, nil
	}
	k.Write = func(value any) ([]byte, error) { return write(*value.(*T)) }
	return k
}

func noTimes[T any](*T) []*time.Time { return nil }

func readReplay(body []byte) (Replay, error)   { return Replay{Body: bytes.Clone(body)}, nil }
func appendReplay(b []byte, r Replay) []byte   { return append(b, r.Body...) }
func oneTimeTimes(v *OneTime) []*time.Time     { return []*time.Time{&v.ExpiresAt} }
func appendOneTime(b []byte, v OneTime) []byte { return AppendTime(b, v.ExpiresAt) }

func readOneTime(body []byte) (v OneTime, err error) {
	v.ExpiresAt, err = Time(body)
	return v, err
}

// numberKind is a kind whose id is all that tells it from others.
func numberKind(name string) Kind {
	return Kind{
		Name: name, times: func(any) []*time.Time { return nil },
		Read: func(_, body []byte) (any, error) {
			if len(body) != 8 {
				return nil, ErrCorrupt
			}
			n := Number(binary.BigEndian.Uint64(body))
			return &n, nil
		},
		Write: func(value any) ([]byte, error) {
			return binary.BigEndian.AppendUint64(nil, uint64(*value.(*Number))), nil
		},
	}
}

// placeKind is a kind that each store keeps in a way of its own.
func placeKind(name string) Kind {
	return Kind{
		Name: name, times: func(any) []*time.Time { return nil },
		Write: func(value any) ([]byte, error) {
			p := value.(*Place)
			b := binary.BigEndian.AppendUint64(nil, uint64(p.At))
			for _, part := range [...]string{string(p.Sender), string(p.Group), p.ID, string(p.Code)} {
				b = appendString(b, part)
			}
			return b, nil
		},
	}
}
