package kv

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

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
