package kv

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// pageScan bounds how many records one page looks at.
const pageScan = 4096

// page is a part of a list.
type page[T any] struct {
	records []T
	next    string // what to go on behind; empty at the end
}

// readPage returns up to limit records whose keys are the prefix and something
// behind after. open is told what follows the prefix, and what is stored, and
// reports whether the record is meant. A damaged one is not: it must not hide those
// behind it.
func readPage[T any](r Reader, prefix []byte, after string, limit int, open func(rest, value []byte) (T, bool)) (p page[T]) {
	from := slices.Concat(prefix, []byte(after))
	if after != "" {
		from = append(from, 0) // nothing is between
	}
	seen, last := 0, after
	for key, value := range r.Scan(from) {
		if !bytes.HasPrefix(key, prefix) {
			break
		}
		if len(p.records) >= limit || seen == pageScan {
			p.next = last
			break
		}
		seen, last = seen+1, string(key[len(prefix):])
		if one, meant := open(key[len(prefix):], value); meant {
			p.records = append(p.records, one)
		}
	}
	return p
}

// belongings is one kind of what subjects have. Their keys begin with what stands
// for the subject.
type belongings struct {
	kind   byte
	prefix func(issuer, subject string) []byte
	// whose returns whose it is, if any of it still counts.
	whose func(r Reader, prefix []byte, now time.Time) (storage.Subject, bool)
}

// allBelongings are in the order in which Subjects looks: somebody is listed for
// the first kind of which they have something.
var allBelongings = []belongings{
	{kindSubjectGrant, subjectGrantsPrefix, whoseGrant},
	{kindConnection, connectionsPrefix, whoseConnection},
	{kindSubjectSessions, subjectSessionsPrefix, whoseSession},
	{kindPerson, personKey, whosePerson},
}

// Subjects implements storage.PersonStore.
func (s *personStore) Subjects(ctx context.Context, after string, limit int, now time.Time) ([]storage.Subject, string, error) {
	from, err := hex.DecodeString(after)
	if err != nil {
		return nil, "", storage.ErrPlace
	}
	p, err := view(ctx, s.engine, func(r Reader) (page[storage.Subject], error) { return readSubjects(r, from, limit, now), nil })
	return p.records, hex.EncodeToString([]byte(p.next)), err
}

func readSubjects(r Reader, after []byte, limit int, now time.Time) (p page[storage.Subject]) {
	at, seen, last := 0, 0, after
	if len(after) > 0 {
		if at = slices.IndexFunc(allBelongings, func(b belongings) bool { return b.kind == after[0] }); at < 0 {
			return p
		}
	}
	for ; at < len(allBelongings); at, after = at+1, nil {
		of := allBelongings[at]
		width := len(of.prefix("", " "))
		from := []byte{of.kind}
		if len(after) > 0 {
			from = behind(after)
		}
		for {
			key := firstKey(r, from)
			if len(key) < width || key[0] != of.kind {
				break
			}
			if len(p.records) >= limit || seen == pageScan {
				p.next = string(last)
				return p
			}
			last, seen = bytes.Clone(key[:width]), seen+1
			if who, there := of.whose(r, last, now); there && !hasAnyOf(r, allBelongings[:at], who, now) {
				p.records = append(p.records, who)
			}
			from = behind(last)
		}
	}
	return p
}

// hasAnyOf reports whether somebody has something of these kinds.
func hasAnyOf(r Reader, kinds []belongings, who storage.Subject, now time.Time) bool {
	return slices.ContainsFunc(kinds, func(b belongings) bool {
		_, there := b.whose(r, b.prefix(who.Issuer, who.Subject), now)
		return there
	})
}

func firstKey(r Reader, from []byte) []byte {
	for key := range r.Scan(from) {
		return key
	}
	return nil
}

// behind returns what comes after all keys with the prefix.
func behind(prefix []byte) []byte {
	next := bytes.Clone(prefix)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			break
		}
	}
	return next
}

func whoseGrant(r Reader, prefix []byte, now time.Time) (storage.Subject, bool) {
	for key := range scanPrefix(r, prefix) {
		if g, found, err := filledGrant(r, string(key[len(prefix):]), now); err == nil && grantVerdict(g, found, now) == storage.OK {
			return storage.Subject{Issuer: g.Issuer, Subject: g.Identity.Subject}, true
		}
	}
	return storage.Subject{}, false
}

func whoseConnection(r Reader, prefix []byte, now time.Time) (storage.Subject, bool) {
	for key := range scanPrefix(r, prefix) {
		if c, found, err := getConnection(r, key); err == nil && found && !connectionEnded(c, now) {
			return storage.Subject{Issuer: c.Issuer, Subject: c.Owner}, c.Owner != storage.SharedOwner && !strings.HasPrefix(c.Owner, storage.FlowOwner(""))
		}
	}
	return storage.Subject{}, false
}

func whoseSession(r Reader, prefix []byte, now time.Time) (storage.Subject, bool) {
	for key := range scanPrefix(r, prefix) {
		if b, found, err := filledSession(r, storage.Hash(key[len(prefix):]), now); err == nil && found && !ended(b.ExpiresAt, now) {
			return storage.Subject{Issuer: b.Issuer, Subject: b.Identity.Subject}, true
		}
	}
	return storage.Subject{}, false
}

func whosePerson(r Reader, key []byte, now time.Time) (storage.Subject, bool) {
	var p storage.Person
	found, err := getJSON(r, key, &p)
	return storage.Subject{Issuer: p.Issuer, Subject: p.Subject}, err == nil && found && !ended(p.ExpiresAt, now)
}

// sealedKinds are the kinds of record that hold something sealed, in the order of
// their keys.
var sealedKinds = []byte{kindPerson, kindConnection, kindUpstreamClient, kindRevocation, kindConnectState, kindSiteValue}

// ReplaceSealed implements storage.SealedStore.
func (s *sealedStore) ReplaceSealed(ctx context.Context, after string, limit int, fn func(storage.SealedValue) []byte) (string, error) {
	page, err := view(ctx, s.engine, func(r Reader) (sealedPage, error) { return findSealed(r, []byte(after), limit, fn), nil })
	if err != nil || len(page.due) == 0 {
		return page.next, err
	}
	err = s.engine.Update(ctx, func(tx Tx) error {
		for _, key := range page.due {
			if err := replaceSealed(tx, key, fn); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return page.next, nil
}

// sealedPage is what one look found: the keys of the records to be changed, and
// where to go on.
type sealedPage struct {
	due  [][]byte
	next string
}

func findSealed(r Reader, after []byte, limit int, fn func(storage.SealedValue) []byte) (page sealedPage) {
	seen := 0
	for _, kind := range sealedKinds {
		from := []byte{kind}
		if bytes.Compare(after, from) >= 0 {
			if after[0] != kind {
				continue
			}
			from = append(bytes.Clone(after), 0) // no key is between
		}
		for key, value := range r.Scan(from) {
			if key[0] != kind {
				break
			}
			if seen++; seen > limit {
				return page
			}
			page.next = string(key)
			if _, changed, err := withoutOldSeal(key, value, fn); err == nil && changed {
				page.due = append(page.due, bytes.Clone(key))
			}
		}
	}
	page.next = ""
	return page
}

// replaceSealed stores a record whose sealed values fn replaces, if it is still
// there.
func replaceSealed(tx Tx, key []byte, fn func(storage.SealedValue) []byte) error {
	value := tx.Get(key)
	if value == nil {
		return nil
	}
	next, changed, err := withoutOldSeal(key, value, fn)
	if err != nil || !changed {
		return err
	}
	return tx.Put(key, next)
}

// withoutOldSeal returns a record as fn wants it.
func withoutOldSeal(key, value []byte, fn func(storage.SealedValue) []byte) (next []byte, changed bool, err error) {
	rec := sealedRecord(key)
	keep, body, err := record.Open(value)
	if err == nil && (rec == nil || json.Unmarshal(body, rec) != nil) {
		err = record.ErrCorrupt // the cause would quote the record
	}
	if err != nil || !sealed.Replace(rec, fn) {
		return nil, false, err
	}
	if body, err = json.Marshal(rec); err != nil {
		return nil, false, err
	}
	return append(record.New(keep, len(body)), body...), true, nil
}

// sealedRecord returns what a record with this key is read into.
func sealedRecord(key []byte) any {
	switch key[0] {
	case kindConnection:
		return new(storage.Connection)
	case kindUpstreamClient:
		return new(storage.UpstreamClient)
	case kindRevocation:
		return new(storage.ProviderRevocation)
	case kindPerson:
		return new(storage.Person)
	case kindSiteValue:
		return new(storage.SiteValue)
	case kindConnectState:
		if len(key) == 1+len(storage.Hash{}) {
			return &storage.ConnectState{Hash: storage.Hash(key[1:])}
		}
	}
	return nil
}
