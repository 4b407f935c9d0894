package fill

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Postgres fills a schema. The server makes the rows: each is one that is there, with
// other values in some columns.
func Postgres(ctx context.Context, conn *pgx.Conn, schema string, s Size) error {
	tenth := s.Expired / 10
	for _, table := range []struct {
		name          string
		live, expired int
		columns       map[string]string
	}{
		{"clients", s.Clients, 0, map[string]string{"id": random("id")}},
		{"grants", s.Grants, 0, map[string]string{
			"id": random("grant"), "of_subject": "substr(" + random("subject") + ", 1, 16)",
			"of_client":     fmt.Sprintf("substr(sha256(int8send(n %% %d)), 1, 16)", max(s.Clients, 1)),
			"access_tokens": "array[" + random("access") + "]", "refresh_token": random("refresh"), "code": random("code"),
		}},
		{"access_tokens", s.Grants, accessTokens * tenth, map[string]string{"hash": random("access")}},
		{"refresh_tokens", s.Grants, refreshTokens * tenth, map[string]string{"hash": random("refresh"), "grant_id": random("grant"), "predecessor": random("before")}},
		{"codes", 0, codes * tenth, map[string]string{"hash": random("code"), "grant_id": random("grant")}},
		{"flows", 0, flows * tenth, map[string]string{
			"id": random("flow"), "of_subject": "substr(" + random("subject") + ", 1, 16)", "browser": random("browser"),
		}},
	} {
		all := table.live + table.expired
		if all == 0 {
			continue
		}
		table.columns["keep_until"] = fmt.Sprintf(
			"case when (n + 1) * %[1]d / %[2]d > n * %[1]d / %[2]d then %[3]d - 1 - n %% 2592000 else t.keep_until end", table.expired, all, s.Now.Unix())
		names, err := columnsOf(ctx, conn, schema, table.name)
		if err != nil {
			return err
		}
		values := make([]string, len(names))
		for i, name := range names {
			values[i] = "t." + name
			if v, found := table.columns[name]; found {
				values[i] = strings.ReplaceAll(v, "{step}", fmt.Sprint(int64(1<<62)/int64(all+1)*2))
			}
		}
		tag, err := conn.Exec(ctx, fmt.Sprintf(`insert into %[1]s.%[2]s (%[3]s) select %[4]s from generate_series(0::bigint, %[5]d) n,
			(select * from %[1]s.%[2]s order by ctid limit 1) t`, schema, table.name, strings.Join(names, ", "), strings.Join(values, ", "), all-1))
		if err != nil {
			return fmt.Errorf("fill: %s: %w", table.name, err)
		}
		if tag.RowsAffected() != int64(all) {
			return errNoTemplate
		}
	}
	_, err := conn.PgConn().Exec(ctx, "vacuum analyze").ReadAll() // as would have been meanwhile
	return err
}

// random is a key that looks like chance, of which the next is larger.
func random(kind string) string {
	return "int8send(n * {step} + 1) || substr(sha256(int8send(n) || '" + kind + "'), 1, 24)"
}

func columnsOf(ctx context.Context, conn *pgx.Conn, schema, table string) ([]string, error) {
	rows, err := conn.Query(ctx, `select column_name::text from information_schema.columns
		where table_schema = $1 and table_name = $2 order by ordinal_position`, schema, table)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
