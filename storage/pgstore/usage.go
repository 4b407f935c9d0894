package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Usage implements storage.Store. Bytes is the size of the tables with their
// indexes.
func (s *Store) Usage(ctx context.Context, now time.Time) (storage.Usage, error) {
	s.db.clock.toDatabase(&now)
	size := "0"
	for _, table := range recordTables {
		size += ` + pg_total_relation_size('{}` + table + `')`
	}
	return view(ctx, s.db, func(rows pgx.Rows) (u storage.Usage, err error) {
		for rows.Next() {
			err = errors.Join(err, rows.Scan(&u.Bytes, &u.PendingFlows, &u.Revocations))
		}
		return u, err
	}, `select `+size+`,
		(select count(*) from (select body from {}flows where keep_until > $1 limit $2) f
			where position('"submitted":true'::bytea in body) = 0),
		(select count(*) from (select 1 from {}revocations limit $2) r)`, now.Unix(), storage.MaxCounted)
}
