package pgstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/database"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/moving"
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
	{file: "migrations/005.sql", usableFrom: 1},
	{file: "migrations/006.sql", usableFrom: 1},
	{file: "migrations/007.sql", usableFrom: 1},
	{file: "migrations/008.sql", usableFrom: 1},
	{file: "migrations/009.sql", usableFrom: 1},
	{file: "migrations/010.sql", usableFrom: 1},
}

// migrate brings the schema up to date. Of several processes one does, and the
// others wait for it. It takes as long as it takes, until ctx ends: an index of
// millions of records is not made within what bounds a verb.
func (d *db) migrate(ctx context.Context, schema string) error {
	conn, done, err := d.database.Unwatched(ctx)
	if err != nil {
		return err
	}
	defer done()
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
		closed := usableFrom == moving.Closed
		if closed {
			stored, err := moving.Read(ctx, tx, schema)
			if err != nil {
				return err
			}
			if usableFrom = stored.UsableFrom; !d.moves {
				return errMarked{schema, stored.Mark}
			}
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
		usableFrom = migrations[len(migrations)-1].usableFrom
		if closed {
			usableFrom = moving.Closed
		}
		_, err = tx.Exec(ctx, d.sql(`update {}version set version = $1, usable_from = $2`), len(migrations), usableFrom)
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

// errMarked: the schema has the mark of a move.
type errMarked struct {
	schema string
	mark   move.Mark
}

func (e errMarked) Error() string {
	return fmt.Sprintf("schema %q cannot be used: %v", e.schema, e.mark.Refusal())
}

// MovePlace is a schema to move from, or to.
type MovePlace struct{ Config *Config }

// Name implements move.Place.
func (p MovePlace) Name() string { return "the database " + p.Config.Key() }

// Exists implements move.Place: it reports whether there is a schema with tables of ours.
func (p MovePlace) Exists(ctx context.Context) (there bool, err error) {
	d, err := p.connect(ctx)
	if err != nil {
		return false, err
	}
	defer d.database.Close()
	version, err := p.version(ctx, d)
	return version > 0, err
}

// Open implements move.Place.
func (p MovePlace) Open(ctx context.Context, look bool) (move.Side, error) {
	d, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	side, err := p.open(ctx, d, look)
	if err != nil {
		d.database.Close()
		return nil, explain(err, p.Config)
	}
	return side, nil
}

func (p MovePlace) connect(ctx context.Context) (*db, error) {
	config := *p.Config.database
	config.Pool = config.Pool.Copy()
	config.Pool.ConnConfig.RuntimeParams["application_name"] = "caddy-mcp-oauth migrate"
	d := &db{schema: pgx.Identifier{p.Config.schema}.Sanitize() + ".", moves: true, now: p.Config.now}
	var err error
	if d.database, err = database.Open(ctx, &config, d.reach.changed); err != nil {
		return nil, explain(err, p.Config)
	}
	d.pool = d.database.Pool
	return d, nil
}

// version returns that of the schema, 0 if there is none.
func (p MovePlace) version(ctx context.Context, d *db) (version int, err error) {
	err = d.retry(ctx, func(ctx context.Context) error {
		there := false
		err := d.pool.QueryRow(ctx, `select exists (select 1 from information_schema.tables where table_schema = $1 and table_name = 'version')`, p.Config.schema).Scan(&there)
		if err != nil || !there {
			return err
		}
		return d.pool.QueryRow(ctx, d.sql(`select version from {}version`)).Scan(&version)
	})
	if err != nil {
		return 0, explain(err, p.Config)
	}
	return version, nil
}

func (p MovePlace) open(ctx context.Context, d *db, look bool) (*moving.Side, error) {
	version, err := p.version(ctx, d)
	if err != nil {
		return nil, err
	}
	if look && version < len(migrations) {
		return nil, fmt.Errorf("schema %q has version %d and not %d, and is not changed by only looking; leave away --dry-run", p.Config.schema, version, len(migrations))
	}
	if err := d.retry(ctx, func(context.Context) error { return d.migrate(ctx, p.Config.schema) }); err != nil { // for as long as it takes
		return nil, err
	}
	if err := d.measure(ctx); err != nil {
		return nil, err
	}
	side := &moving.Side{
		Pool: d.database, Schema: p.Config.schema, Ahead: d.clock.Offset(), UsableFrom: migrations[len(migrations)-1].usableFrom,
		Retry: d.retry, Explain: func(err error) error { return explain(err, p.Config) },
	}
	if version > len(migrations) { // a newer program's, that this one can use
		err = d.retry(ctx, func(ctx context.Context) error { return side.KeepUsableFrom(ctx) })
	}
	return side, err
}

// madeTables finds the tables that the migrations make.
var madeTables = regexp.MustCompile(`(?im)^create table (?:if not exists )?\{\}(\w+)`)

// checkTables looks whether the tables that there should be are there, and may be
// used.
func checkTables(ctx context.Context, d *db, schema string) error {
	tables := []string{"version"}
	for _, m := range migrations {
		text, err := fs.ReadFile(migrationFiles, m.file)
		if err != nil {
			return err
		}
		for _, found := range madeTables.FindAllSubmatch(text, -1) {
			tables = append(tables, string(found[1]))
		}
	}
	type found struct {
		name   string
		usable bool
	}
	there, err := view(ctx, d, func(rows pgx.Rows) (all map[string]bool, err error) {
		all = map[string]bool{}
		for rows.Next() {
			var f found
			err = errors.Join(err, rows.Scan(&f.name, &f.usable))
			all[f.name] = f.usable
		}
		return all, err
	}, `select c.relname::text, has_table_privilege(c.oid, 'SELECT') and has_table_privilege(c.oid, 'INSERT')
			and has_table_privilege(c.oid, 'UPDATE') and has_table_privilege(c.oid, 'DELETE')
		from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where n.nspname = $1 and c.relkind in ('r', 'p')`, schema)
	if err != nil {
		return err
	}
	for _, table := range tables {
		switch usable, ok := there[table]; {
		case !ok:
			return errHalfSchema{schema, table, "is not there"}
		case !usable:
			return errHalfSchema{schema, table, "may not be read and written by this user; GRANT SELECT, INSERT, UPDATE, DELETE on it, or make the user its owner"}
		}
	}
	return nil
}

// errHalfSchema: the version of a schema promises what is not there.
type errHalfSchema struct{ schema, table, what string }

func (e errHalfSchema) Error() string {
	text := fmt.Sprintf("table %s of schema %q %s", e.table, e.schema, e.what)
	if e.what == "is not there" {
		text += ", though its version says so; restore a backup of all of it, or name an empty schema"
	}
	return text
}
