package changes

import (
	"encoding/json"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// Retention is how long changes are kept. Who looks less often is told that it
	// missed some.
	Retention = time.Hour
	// maxMerged bounds how many grants one row is about.
	maxMerged = 256
)

// Queue queues, in the transaction of a verb, the statement that tells others what
// it changed. It is to be the last before the commit: the number is given out there,
// and the fewer are under way the better. keepUntil is Retention from now.
func (w *Watcher) Queue(exec func(sql string, args ...any), told []storage.Change, keepUntil int64) error {
	var bodies [][]byte
	for _, c := range merged(told) {
		body, err := json.Marshal(c)
		if err != nil {
			return err
		}
		bodies = append(bodies, body)
	}
	const insert = `insert into {}changes (writer, keep_until, body) select $1, $2, body from unnest($3::bytea[]) body`
	if !w.notifies {
		exec(insert, w.self, keepUntil, bodies)
		return nil
	}
	exec(`with told as (`+insert+` returning number) select pg_notify($4, max(number)::text) from told`, w.self, keepUntil, bodies, w.channel)
	return nil
}

// merged returns the changes with many grants that ended in one.
func merged(told []storage.Change) (all []storage.Change) {
	for _, c := range told {
		if last := len(all) - 1; last >= 0 && endsGrants(c) && endsGrants(all[last]) && len(all[last].GrantIDs) < maxMerged {
			all[last].GrantIDs = append(all[last].GrantIDs, c.GrantIDs...)
			all[last].AccessTokens = append(all[last].AccessTokens, c.AccessTokens...)
			continue
		}
		if endsGrants(c) { // what is appended to is ours
			c.Revocation = storage.Revocation{
				AccessTokens: append([]storage.Hash(nil), c.AccessTokens...), GrantIDs: append([]string(nil), c.GrantIDs...),
			}
		}
		all = append(all, c)
	}
	return all
}

func endsGrants(c storage.Change) bool {
	return c.Kind == storage.TokensEnded && len(c.GrantIDs) > 0
}
