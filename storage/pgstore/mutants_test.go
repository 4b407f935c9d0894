//go:build postgres && !race

package pgstore

import (
	"errors"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/simulation"
)

// mutants are faults in what is sent to the database: a lock, a condition or a record
// that is missing. Each changes one part of those statements that have it.
var mutants = map[string]struct{ statement, part, to string }{
	"whoever rotates does not lock the family":      {`select body from {}grants where id = \(`, ` for update$`, ``},
	"a submission does not lock the flow":           {`select body from {}flows where id = \$1 for update`, ` for update$`, ``},
	"a flow is saved without a lock":                {`insert into {}flows \(id, of_subject, browser, keep_until, body\) values \(\$1, '', '', 0, ''\)`, `do update set id = excluded.id returning body`, `do nothing returning body`},
	"a registration is not locked":                  {`select body from {}clients where id = \$1 for update`, ` for update$`, ``},
	"what has no row yet is not locked":             {`insert into {}locks`, `do update set keep_until = excluded.keep_until`, `do nothing`},
	"a one-time value is not held":                  {`insert into {}used_values`, `do update set hash = excluded.hash returning body`, `do nothing returning body`},
	"a connect state can be claimed again":          {`delete from {}connect_states where hash = \$1 and browser`, `delete from (\S+) where hash = \$1 and browser = \$2 returning body as answer`, `select body as answer from $1 where hash = $$1 and browser = $$2`},
	"a commit of which nobody heard did its work":   {`insert into {}attempts .* returning a.done`, `returning a.done`, `returning true`},
	"a commit of which nobody heard did nothing":    {`insert into {}attempts .* returning a.done`, `returning a.done`, `returning false`},
	"a commit leaves no attempt":                    {`insert into {}attempts .* values \(\$1, true, \$2\)`, `insert into .*`, `select $$1::bytea, $$2::bigint`},
	"the sweep comes an hour early":                 {`^with ended as .* keep_until between \$1 and \$2`, `and \$2`, `and $$2 + 3600`},
	"a revoked grant keeps its access tokens":       {`delete from {}access_tokens where hash = any`, `$`, ` and false`},
	"an access token that is revoked stays":         {`delete from {}access_tokens where hash = \$1`, `$`, ` and false`},
	"a browser that signs out stays signed in":      {`delete from {}browser_sessions where id = \$1`, `$`, ` and false`},
	"a person who ends is still there":              {`delete from {}persons where id = \$1`, `$`, ` and false`},
	"a disconnect is not counted":                   {`insert into {}disconnects`, `do update set .*`, `do nothing`},
	"a virtual key changes and its number does not": {`insert into {}virtual_key_changes`, `do update set number = excluded.number`, `do nothing`},
	"a revocation that was done stays due":          {`delete from {}revocations where id = \$1`, `$`, ` and false`},
	"the newest drop out of a queue":                {`order by queued_at, id limit`, `order by queued_at, id limit`, `order by queued_at desc, id desc limit`},
	"nobody is told of a change":                    {`insert into {}changes`, `unnest\(\$3::bytea\[\]\) body`, `unnest($$3::bytea[]) body where false`},
	"a change is skipped":                           {`from {}changes where number > \$2`, `number > \$2 order`, `number > $$2 + 1 order`},
	"one event more than there may be":              {`update {}rates`, `used_until <= bound`, `used_until <= bound + 60000000`},
	"an instance that left is still there":          {`delete from {}instances where id = \$1`, `$`, ` and false`},
	"a login does not lock the person":              {`insert into {}persons \(id, issuer, keep_until, body\) values \(\$1, '', 0, ''\)`, `do update set id = excluded.id returning body`, `do nothing returning body`},
	"a person can be ended while they change":       {`select body from {}persons where id = \$1 for update`, ` for update$`, ``},
}

// mutate returns statements as a mutant sends them. used tells whether there were any.
func mutate(schema, statement, part, to string, used *atomic.Bool) func(sql string) string {
	which := regexp.MustCompile(`(?s)` + strings.ReplaceAll(statement, "{}", `"`+schema+`"\.`))
	what := regexp.MustCompile(`(?s)` + part)
	return func(sql string) string {
		if !which.MatchString(sql) {
			return sql
		}
		used.Store(true)
		return what.ReplaceAllString(sql, to)
	}
}

// Each fault is found by schedules, so that those that find none mean something.
// -v says by which seed.
func TestMutantsAreFound(t *testing.T) {
	const most = 1000
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, used := simulate(t), new(atomic.Bool)
			d.mutate = mutate(d.schema, m.statement, m.part, m.to, used)
			for seed := range uint64(most) {
				_, err := simulation.One(seed+1, simulation.Options{Steps: 150}, d.system)
				var failure *simulation.Failure
				switch {
				case errors.As(err, &failure) && !strings.Contains(failure.Error(), "SQLSTATE"):
					t.Logf("seed %d: %v", failure.Seed, failure.Cause)
					return
				case err != nil:
					t.Fatal(err)
				}
			}
			t.Errorf("not found in %d schedules; used: %t", most, used.Load())
		})
	}
}
