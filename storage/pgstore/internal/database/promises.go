package database

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Promises returns, in words, how the database may lose what it has acknowledged,
// as far as it lets on.
func (d *Database) Promises(ctx context.Context) (broken []string, err error) {
	var fsync, pages, standbys string
	var replicas int
	err = d.QueryRow(ctx, `select coalesce(current_setting('fsync', true), ''), coalesce(current_setting('full_page_writes', true), ''),
		coalesce(current_setting('synchronous_standby_names', true), ''), (select count(*) from pg_stat_replication)::int`, pgx.QueryExecModeExec).
		Scan(&fsync, &pages, &standbys, &replicas)
	if err != nil {
		return nil, err
	}
	if fsync == "off" || pages == "off" {
		broken = append(broken, fmt.Sprintf("the database has fsync %s and full_page_writes %s: when its machine fails, it can lose what was acknowledged, "+
			"such as that a code was used; turn both on", fsync, pages))
	}
	if standbys == "" && (replicas > 0 || d.config.severalHosts()) {
		broken = append(broken, "the database has no synchronous standby (synchronous_standby_names is empty): when another server takes over, "+
			"what was acknowledged last can be lost, such as that a code was used; name the standby that is to take over")
	}
	return broken, nil
}

// severalHosts reports whether the DSN names several, so that one can take over.
func (c *Config) severalHosts() bool {
	hosts := map[string]bool{}
	for _, w := range ways(c.Pool.ConnConfig) {
		hosts[fmt.Sprint(w.Host, w.Port)] = true
	}
	return len(hosts) > 1
}
