package kv

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// GrantsOf implements storage.Store.
func (s *Store) GrantsOf(ctx context.Context, issuer, subject string, now time.Time) ([]storage.Grant, error) {
	return view(ctx, s, func(r Reader) ([]storage.Grant, error) {
		var grants []storage.Grant
		prefix := subjectGrantsPrefix(issuer, subject)
		for key := range scanPrefix(r, prefix) {
			g, found, err := getGrant(r, string(key[len(prefix):]))
			if err != nil {
				return nil, err
			}
			if standing(g, found, now) == storage.OK && g.Issuer == issuer && g.Identity.Subject == subject {
				grants = append(grants, g)
			}
		}
		slices.SortFunc(grants, func(a, b storage.Grant) int {
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
		})
		return grants, nil
	})
}
