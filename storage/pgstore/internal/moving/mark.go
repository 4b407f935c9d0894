package moving

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
)

// Closed is the oldest version whose programs can use a schema with a mark: there is
// none, so that those refuse it too that know nothing of marks.
const Closed = 1 << 30

// Stored is the mark of a schema.
type Stored struct {
	Mark move.Mark
	// UsableFrom is what the schema had before the mark.
	UsableFrom int
	ahead      time.Duration
}

// Read returns the mark of a schema that is Closed.
func Read(ctx context.Context, tx pgx.Tx, schema string) (s Stored, err error) {
	var text string
	var ahead int64
	err = tx.QueryRow(ctx, qualified(schema, `select mark, ahead, usable_from from {}move`)).Scan(&text, &ahead, &s.UsableFrom)
	if err != nil {
		return s, err
	}
	s.ahead = time.Duration(ahead) * time.Second
	s.Mark, err = move.ReadMark(text)
	return s, err
}

// stored returns the mark, none if the schema is not Closed.
func (s *Side) stored(ctx context.Context, tx pgx.Tx) (stored Stored, err error) {
	stored = Stored{UsableFrom: s.UsableFrom, ahead: s.Ahead}
	from := 0
	if err := tx.QueryRow(ctx, s.sql(`select usable_from from {}version`)).Scan(&from); err != nil || from != Closed {
		return stored, err
	}
	return Read(ctx, tx, s.Schema)
}

// KeepUsableFrom takes UsableFrom from the schema.
func (s *Side) KeepUsableFrom(ctx context.Context) error {
	return s.run(ctx, func(ctx context.Context, tx pgx.Tx) error {
		stored, err := s.stored(ctx, tx)
		if err == nil && stored.Mark.None() {
			err = tx.QueryRow(ctx, s.sql(`select usable_from from {}version`)).Scan(&stored.UsableFrom)
		}
		s.UsableFrom = stored.UsableFrom
		return err
	})
}

// ahead is how far the database's clock is ahead, for this move.
func (s *Side) ahead(ctx context.Context, tx pgx.Tx) (time.Duration, error) {
	stored, err := s.stored(ctx, tx)
	return stored.ahead, err
}

// Mark implements move.Side.
func (s *Side) Mark(ctx context.Context) (mark move.Mark, err error) {
	err = s.run(ctx, func(ctx context.Context, tx pgx.Tx) error {
		stored, err := s.stored(ctx, tx)
		mark = stored.Mark
		return err
	})
	return mark, err
}

// SetMark implements move.Side. The clock is that of when the move began.
func (s *Side) SetMark(ctx context.Context, m move.Mark) error {
	return s.run(ctx, func(ctx context.Context, tx pgx.Tx) error {
		was, err := s.stored(ctx, tx)
		if err != nil {
			return err
		}
		if m.None() {
			_, err := tx.Exec(ctx, s.sql(`drop table if exists {}move`))
			_, also := tx.Exec(ctx, s.sql(`update {}version set usable_from = $1`), s.UsableFrom)
			return errors.Join(err, also)
		}
		if was.Mark.ID != m.ID {
			was.ahead = s.Ahead
		}
		for _, sql := range []string{
			`create table if not exists {}move (mark text not null, ahead bigint not null, usable_from int not null)`,
			`delete from {}move`,
		} {
			if _, err := tx.Exec(ctx, s.sql(sql)); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, s.sql(`insert into {}move (mark, ahead, usable_from) values ($1, $2, $3)`), m.Text(), int64(was.ahead/time.Second), s.UsableFrom)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, s.sql(`update {}version set usable_from = $1`), Closed)
		return err
	})
}
