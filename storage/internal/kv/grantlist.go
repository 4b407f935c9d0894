package kv

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// grantScan bounds how many records one Grants looks at.
const grantScan = 4096

// Grants implements storage.Store.
func (s *Store) Grants(ctx context.Context, after string, limit int, now time.Time) ([]storage.Grant, string, error) {
	page, err := view(ctx, s, func(r Reader) (grantPage, error) { return readGrants(r, after, limit, now) })
	return page.grants, page.next, err
}

type grantPage struct {
	grants []storage.Grant
	next   string // the ID to go on behind; empty at the end
}

func readGrants(r Reader, after string, limit int, now time.Time) (page grantPage, err error) {
	seen, last := 0, after
	for key, value := range r.Scan(append(idKey(kindGrant, after), 0)) { // no ID is between
		if key[0] != kindGrant {
			break
		}
		if len(page.grants) >= limit || seen == grantScan {
			page.next = last
			break
		}
		seen, last = seen+1, string(key[1:])
		if g, err := openGrant(value); err == nil && standing(g, true, now) == storage.OK {
			page.grants = append(page.grants, g)
		} // a damaged one lets nobody in, and must not hide those behind it
	}
	return page, nil
}

func openGrant(value []byte) (storage.Grant, error) {
	_, body, err := openValue(value)
	if err != nil {
		return storage.Grant{}, err
	}
	return decodeGrant(body)
}
