// Package restored ends all sign-ins in a schema that was put back as it was earlier. It
// is for a schema that nobody else works on, and is no verb: it goes over everything.
package restored

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// EndSignIns implements storage.SignInEnder in a transaction. sql puts the schema into
// a statement.
func EndSignIns(ctx context.Context, tx pgx.Tx, sql func(string) string) (ended storage.Ended, err error) {
	if _, err := tx.Exec(ctx, `set local statement_timeout = 0`); err != nil { // there may be millions
		return ended, err
	}
	err = tx.QueryRow(ctx, sql(`select
		(select count(*) from {}grants where ends_at > extract(epoch from clock_timestamp()) * 1000000000),
		(select count(*) from {}browser_sessions where keep_until >= extract(epoch from clock_timestamp())),
		(select count(*) from {}flows where keep_until >= extract(epoch from clock_timestamp()) and position('"submitted":true'::bytea in body) = 0)`)).
		Scan(&ended.Grants, &ended.Sessions, &ended.Flows)
	if err != nil {
		return ended, err
	}
	if _, err := tx.Exec(ctx, sql(`truncate {}access_tokens, {}refresh_tokens, {}replays, {}codes, {}grants, {}flows, {}browser_sessions, {}connect_states`)); err != nil {
		return ended, err
	}
	if err := disableVirtualKeys(ctx, tx, sql, &ended); err != nil {
		return ended, err
	}
	return ended, dropSecrets(ctx, tx, sql, &ended)
}

// disableVirtualKeys takes what was approved with them from all, and counts a change of
// each.
func disableVirtualKeys(ctx context.Context, tx pgx.Tx, sql func(string) string, ended *storage.Ended) error {
	rows, err := all(ctx, tx, sql(`select id, body from {}virtual_keys for update`))
	if err != nil {
		return err
	}
	for _, r := range rows {
		var k storage.VirtualKey // its times stay the database's
		if err := json.Unmarshal(r.body, &k); err != nil {
			return errors.Join(record.ErrCorrupt, err)
		}
		if k.Disabled {
			continue
		}
		k.Disabled = true
		k.Withdrawn++
		err := tx.QueryRow(ctx, sql(`insert into {}virtual_key_changes as c (id, keep_until, number) values ($1, $2, 1)
			on conflict (id) do update set number = c.number + 1 returning number`), record.Digest(k.Issuer), int64(record.Forever)).Scan(&k.Revision)
		if err != nil {
			return err
		}
		body, err := json.Marshal(k)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sql(`update {}virtual_keys set body = $2 where id = $1`), r.id, body); err != nil {
			return err
		}
		ended.VirtualKeys = append(ended.VirtualKeys, k.Name)
	}
	return nil
}

// dropSecrets removes the site values by which secrets of others are good.
func dropSecrets(ctx context.Context, tx pgx.Tx, sql func(string) string, ended *storage.Ended) error {
	rows, err := all(ctx, tx, sql(`select id, body from {}site_values`))
	if err != nil {
		return err
	}
	for _, r := range rows {
		var v storage.SiteValue
		if err := json.Unmarshal(r.body, &v); err != nil {
			return errors.Join(record.ErrCorrupt, err)
		}
		if !ended.Counts(v.Name, sealed.SigningKeysName) {
			continue
		}
		if _, err := tx.Exec(ctx, sql(`delete from {}site_values where id = $1`), r.id); err != nil {
			return err
		}
	}
	return nil
}

type row struct{ id, body []byte }

func all(ctx context.Context, tx pgx.Tx, sql string) ([]row, error) {
	rows, err := tx.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (one row, err error) { return one, r.Scan(&one.id, &one.body) })
}
