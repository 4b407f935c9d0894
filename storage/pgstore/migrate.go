package pgstore

import (
	"context"
	"embed"
	"fmt"
	"hash/fnv"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration takes the schema to the next version, one more than its position.
type migration struct {
	file string
	// usableFrom is the oldest version whose programs can use the schema after it.
	// During an upgrade, the version before must go on, and take over again.
	usableFrom int
}

var migrations = []migration{
	{file: "migrations/001.sql", usableFrom: 1},
	{file: "migrations/002.sql", usableFrom: 1},
	{file: "migrations/003.sql", usableFrom: 1},
	{file: "migrations/004.sql", usableFrom: 1},
}

// migrate brings the schema up to date. Of several processes one does, and the
// others wait for it. It takes as long as it takes, until ctx ends: an index of
// millions of records is not made within what bounds a verb.
func (d *db) migrate(ctx context.Context, schema string) error {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `set local statement_timeout = 0`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, migrationLock(schema)); err != nil {
			return err
		}
		version, usableFrom, err := d.version(ctx, tx, schema)
		if err != nil {
			return err
		}
		if usableFrom > len(migrations) {
			return errNewerSchema{schema: schema, version: version}
		}
		if version >= len(migrations) {
			return nil
		}
		for _, m := range migrations[version:] {
			if err := d.apply(ctx, tx, m); err != nil {
				return fmt.Errorf("migrating schema %q to version %s: %w", schema, strings.TrimSuffix(m.file[len("migrations/"):], ".sql"), err)
			}
		}
		_, err = tx.Exec(ctx, d.sql(`update {}version set version = $1, usable_from = $2`), len(migrations), migrations[len(migrations)-1].usableFrom)
		return err
	})
}

// migrationLock is the number of the lock under which a schema is migrated.
func migrationLock(schema string) int64 {
	lock := fnv.New64a()
	_, _ = lock.Write([]byte("mcp_oauth schema " + schema))
	return int64(lock.Sum64())
}

// version returns the version of the schema, which is made if it is not there.
func (d *db) version(ctx context.Context, tx pgx.Tx, schema string) (version, usableFrom int, err error) {
	var there, initialised bool
	err = tx.QueryRow(ctx, `select exists (select 1 from information_schema.schemata where schema_name = $1),
		exists (select 1 from information_schema.tables where table_schema = $1 and table_name = 'version')`, schema).Scan(&there, &initialised)
	if err != nil {
		return 0, 0, err
	}
	if !there {
		if _, err := tx.Exec(ctx, `create schema `+pgx.Identifier{schema}.Sanitize()); err != nil {
			return 0, 0, err
		}
	}
	if !initialised {
		for _, sql := range []string{
			`create table {}version (version int not null, usable_from int not null)`,
			`insert into {}version (version, usable_from) values (0, 0)`,
		} {
			if _, err := tx.Exec(ctx, d.sql(sql)); err != nil {
				return 0, 0, err
			}
		}
		return 0, 0, nil
	}
	err = tx.QueryRow(ctx, d.sql(`select version, usable_from from {}version`)).Scan(&version, &usableFrom)
	return version, usableFrom, err
}

// apply runs the statements of a file.
func (d *db) apply(ctx context.Context, tx pgx.Tx, m migration) error {
	text, err := fs.ReadFile(migrationFiles, m.file)
	if err != nil {
		return err
	}
	for statement := range strings.SplitSeq(string(text), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := tx.Exec(ctx, d.sql(statement)); err != nil {
			return err
		}
	}
	return nil
}
