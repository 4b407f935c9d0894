package pgstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Store is a storage.Store in a schema of a PostgreSQL database. Any number of
// processes may have it open.
type Store struct {
	authStore
	connectionStore
	sessionStore
	virtualKeyStore
	personStore
	sealedStore
	instanceStore
	rateStore
	db *db
}

type (
	authStore       struct{ *db }
	connectionStore struct{ *db }
	sessionStore    struct{ *db }
	virtualKeyStore struct{ *db }
	personStore     struct{ *db }
	sealedStore     struct{ *db }
)

var _ storage.Store = (*Store)(nil)

func newStore(d *db) *Store {
	return &Store{authStore{d}, connectionStore{d}, sessionStore{d}, virtualKeyStore{d}, personStore{d}, sealedStore{d}, instanceStore{d}, rateStore{d, microseconds}, d}
}

// recordTables are those that hold what verbs were told.
var recordTables = append([]string{"virtual_keys", "virtual_key_changes"}, endingTables...)

// endingTables are those whose records end by themselves.
var endingTables = []string{
	"access_tokens", "refresh_tokens", "replays", "codes", "grants", "clients", "flows", "browser_sessions", "used_values",
	"site_values", "connections", "disconnects", "connect_states", "upstream_clients", "revocations",
	"persons",
}

// Empty implements storage.Store.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	sql := `select false`
	for _, table := range recordTables {
		sql += ` or exists (select 1 from {}` + table + `)`
	}
	filled, err := view(ctx, s.db, func(rows pgx.Rows) (filled bool, err error) {
		for rows.Next() {
			err = errors.Join(err, rows.Scan(&filled))
		}
		return filled, err
	}, sql)
	return err == nil && !filled, err
}

// Check implements storage.Store: it fails when the database is away, or became
// a replica.
func (s *Store) Check(ctx context.Context) error { return s.db.measure(ctx) }

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

// Close implements storage.Store. It waits for the verbs that are at work.
func (s *Store) Close() error {
	if !s.db.closed.Swap(true) {
		s.db.pool.Close()
	}
	return nil
}

// belongings is one kind of what subjects have.
type belongings struct {
	table string
	id    string // the columns that stand for the subject
	parts string // what they are of a key
	live  string // of those rows, which count
	// key returns what stands for a subject.
	key func(issuer, subject string) []byte
	// whose returns whose a row is, if it counts.
	whose func(d *db, body []byte, now time.Time) (storage.Subject, bool)
}

// allBelongings are in the order in which Subjects looks: somebody is listed for
// the first kind of which they have something.
var allBelongings = []belongings{
	{"grants", "of_subject", "%s", "of_subject is not null and ends_at > $1::bigint", digestOf, (*db).whoseGrant},
	{"connections", "issuer, owner", "substr(%[1]s, 1, 16), substr(%[1]s, 17)", "$1::bigint is not null", separateDigests, (*db).whoseConnection},
	{"browser_sessions", "of_subject", "%s", "keep_until >= $1::bigint / 1000000000", digestOf, (*db).whoseSession},
	{"persons", "id", "%s", "body <> '' and $1::bigint is not null", digestOf, (*db).whosePerson},
}

func digestOf(issuer, subject string) []byte { return record.Digest(issuer, subject) }

func separateDigests(issuer, subject string) []byte {
	return append(record.Digest(issuer), record.Digest(subject)...)
}

// Subjects implements storage.PersonStore.
func (s *personStore) Subjects(ctx context.Context, after string, limit int, now time.Time) ([]storage.Subject, string, error) {
	name, behind, _ := strings.Cut(after, " ")
	at := slices.IndexFunc(allBelongings, func(b belongings) bool { return b.table == name })
	from, err := hex.DecodeString(behind)
	if at < 0 && after != "" || err != nil {
		return nil, "", storage.ErrPlace
	}
	at, limit = max(at, 0), min(max(limit, 0), maxPage)
	var all []storage.Subject
	for ; at < len(allBelongings); at, from = at+1, []byte{} {
		of := allBelongings[at]
		if len(all) == limit {
			return all, of.table + " " + hex.EncodeToString(from), nil
		}
		rows, err := s.rowsOf(ctx, of, now, `and (`+of.id+`) > (`+fmt.Sprintf(of.parts, "$2::bytea")+`) order by `+of.id+` limit $3`, from, limit-len(all))
		if err != nil {
			return nil, "", err
		}
		found, err := s.notYet(ctx, allBelongings[:at], of, rows, now)
		if err != nil {
			return nil, "", err
		}
		if full := len(rows) == limit-len(all); full {
			return append(all, found...), of.table + " " + hex.EncodeToString(rows[len(rows)-1].id), nil
		}
		all = append(all, found...)
	}
	return all, "", nil
}

// rowsOf returns one row for each subject that has something of a kind.
func (s *personStore) rowsOf(ctx context.Context, of belongings, now time.Time, which string, args ...any) ([]row, error) {
	return view(ctx, s.db, rowsOf, `select distinct on (`+of.id+`) `+strings.ReplaceAll(of.id, ",", " ||")+`, body from {}`+of.table+` where `+of.live+` `+which, append([]any{s.nanos(now)}, args...)...)
}

// notYet returns whose the rows are, without those who have something of the kinds
// before.
func (s *personStore) notYet(ctx context.Context, before []belongings, of belongings, rows []row, now time.Time) (found []storage.Subject, err error) {
	for _, r := range rows {
		if who, there := of.whose(s.db, r.body, now); there {
			found = append(found, who)
		}
	}
	for _, kind := range before {
		if len(found) == 0 {
			return nil, nil
		}
		var ids [][]byte
		for _, who := range found {
			ids = append(ids, kind.key(who.Issuer, who.Subject))
		}
		have, err := s.rowsOf(ctx, kind, now, `and (`+kind.id+`) in (select `+fmt.Sprintf(kind.parts, "k")+` from unnest($2::bytea[]) k)`, ids)
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(who storage.Subject) bool {
			return slices.ContainsFunc(have, func(r row) bool {
				other, there := kind.whose(s.db, r.body, now)
				return there && other == who
			})
		})
	}
	return found, nil
}

func (d *db) whoseGrant(body []byte, now time.Time) (storage.Subject, bool) {
	g, found, err := d.grant(body)
	return storage.Subject{Issuer: g.Issuer, Subject: g.Identity.Subject}, err == nil && grantVerdict(g, found, now) == storage.OK
}

func (d *db) whoseConnection(body []byte, now time.Time) (storage.Subject, bool) {
	c, found, err := decode(d, body, connectionTimes)
	pending := c.Owner == storage.SharedOwner || strings.HasPrefix(c.Owner, storage.FlowOwner(""))
	return storage.Subject{Issuer: c.Issuer, Subject: c.Owner}, err == nil && found && !pending && !connectionEnded(c, now)
}

func (d *db) whoseSession(body []byte, now time.Time) (storage.Subject, bool) {
	b, found, err := decode(d, body, sessionTimes)
	return storage.Subject{Issuer: b.Issuer, Subject: b.Identity.Subject}, err == nil && found && !ended(b.ExpiresAt, now)
}

func (d *db) whosePerson(body []byte, now time.Time) (storage.Subject, bool) {
	p, found, err := decode(d, body, personTimes)
	return storage.Subject{Issuer: p.Issuer, Subject: p.Subject}, err == nil && found && !ended(p.ExpiresAt, now)
}
