package pgstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/changes"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/instances"
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
	instances.Instances
	*instances.Rates
	*changes.Watcher
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

var (
	_ storage.Store   = (*Store)(nil)
	_ storage.Clock   = (*Store)(nil)
	_ storage.Watcher = (*Store)(nil)
)

func newStore(d *db) *Store {
	shared := instances.Database{Pool: d.pool, SQL: d.sql, Retry: d.verb, Observe: d.observe, Ahead: d.clock.Offset, Usable: d.use.usableFrom}
	return &Store{
		authStore{d}, connectionStore{d}, sessionStore{d}, virtualKeyStore{d}, personStore{d}, sealedStore{d},
		instances.Instances{Database: shared}, &instances.Rates{Database: shared, Clock: instances.Microseconds}, d.changes, d,
	}
}

// Ahead implements storage.Clock.
func (s *Store) Ahead() time.Duration { return s.db.clock.Offset() }

// recordTables are those that hold what verbs were told.
var recordTables = append([]string{"virtual_keys", "virtual_key_changes"}, endingTables...)

// endingTables are those whose records end by themselves.
var endingTables = []string{
	"access_tokens", "refresh_tokens", "replays", "codes", "grants", "clients", "flows", "browser_sessions", "used_values",
	"site_values", "connections", "disconnects", "connect_states", "upstream_clients", "revocations",
	"persons",
}

// ownTables hold what the store needs for itself, and what is swept of that.
var ownTables = []string{"attempts", "locks", "changes"}

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

// trialSize is more than what a step of a sign-in writes.
const trialSize = 1 << 16

// Check implements storage.Store: it fails when the database is away, became a
// replica, or does not take what is to be stored.
func (s *Store) Check(ctx context.Context) error {
	if err := s.db.measure(ctx); err != nil {
		return err
	}
	return s.db.database.CheckWrites(ctx, func(ctx context.Context, large bool) error {
		return change(ctx, s.db, func(t *tx) error {
			t.writes = true
			if large { // and made of what cannot be made smaller; a table that is otherwise small has no room for it
				about := make([]byte, trialSize)
				_, _ = rand.Read(about)
				id := about[:16]
				t.exec(`insert into {}instances (id, started_at, seen_at, clock_ahead, about) values ($1, 0, 0, 0, $2)`, id, about)
				t.exec(`delete from {}instances where id = $1`, id)
			}
			return nil
		})
	})
}

// Usage implements storage.Store. Bytes is the size of the tables with their
// indexes.
func (s *Store) Usage(ctx context.Context, now time.Time) (storage.Usage, error) {
	s.db.clock.ToDatabase(&now)
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
		s.Watcher.Close()
		s.db.database.Close()
	}
	return nil
}

// belongings is one kind of what subjects have.
type belongings struct {
	table string
	id    string // the columns that stand for the subject
	parts string // what they are of a key
	live  string // of those rows, which may count
	// person is of the row t whose person has to be there, too.
	person string
	// key returns what stands for a subject.
	key func(issuer, subject string) []byte
	// whose returns whose a row is, if it counts.
	whose func(d *db, o owned, now time.Time) (storage.Subject, bool)
}

// allBelongings are in the order in which Subjects looks: somebody is listed for
// the first kind of which they have something.
var allBelongings = func() []belongings {
	const none, its = "null::bytea", "(select p.body from {}persons p where p.id = t.person)"
	return []belongings{
		{"grants", "of_subject", "%s", "of_subject is not null and ends_at > $1::bigint", its, digestOf, whoseGrant},
		{"connections", "issuer, owner", "substr(%[1]s, 1, 16), substr(%[1]s, 17)", "$1::bigint is not null", none, separateDigests, whoseConnection},
		{"browser_sessions", "of_subject", "%s", "keep_until >= $1::bigint / 1000000000", its, digestOf, whoseSession},
		{"persons", "id", "%s", "body <> '' and $1::bigint is not null", none, digestOf, whosePerson},
	}
}()

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
		ids, err := s.idsOf(ctx, of, now, from, limit-len(all))
		if err != nil {
			return nil, "", err
		}
		found, err := s.notYet(ctx, allBelongings[:at], of, ids, now)
		if err != nil {
			return nil, "", err
		}
		if full := len(ids) == limit-len(all); full {
			return append(all, found...), of.table + " " + hex.EncodeToString(ids[len(ids)-1]), nil
		}
		all = append(all, found...)
	}
	return all, "", nil
}

// idsOf returns what stands for those who may have something of a kind.
func (s *personStore) idsOf(ctx context.Context, of belongings, now time.Time, behind []byte, limit int) ([][]byte, error) {
	return view(ctx, s.db, bodies, `select distinct on (`+of.id+`) `+of.column()+` from {}`+of.table+` where `+of.live+`
		and (`+of.id+`) > (`+fmt.Sprintf(of.parts, "$2::bytea")+`) order by `+of.id+` limit $3`, s.nanos(now), behind, limit)
}

// column is the columns that stand for the subject as one value.
func (of belongings) column() string { return strings.ReplaceAll(of.id, ",", " ||") }

// whoseOf returns those of the subjects who have something of a kind, in the order of
// what stands for them.
func (s *personStore) whoseOf(ctx context.Context, of belongings, ids [][]byte, now time.Time) (found []storage.Subject, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := view(ctx, s.db, manyOwned, `select body, `+of.person+` from {}`+of.table+` t where `+of.live+`
		and (`+of.id+`) in (select `+fmt.Sprintf(of.parts, "k")+` from unnest($2::bytea[]) k) order by `+of.id, s.nanos(now), ids)
	for _, o := range rows {
		if who, there := of.whose(s.db, o, now); there && !slices.Contains(found, who) {
			found = append(found, who)
		}
	}
	return found, err
}

// notYet returns whose the ids are, without those who have something of the kinds
// before.
func (s *personStore) notYet(ctx context.Context, before []belongings, of belongings, ids [][]byte, now time.Time) ([]storage.Subject, error) {
	found, err := s.whoseOf(ctx, of, ids, now)
	for _, kind := range before {
		if err != nil || len(found) == 0 {
			return nil, err
		}
		var ids [][]byte
		for _, who := range found {
			ids = append(ids, kind.key(who.Issuer, who.Subject))
		}
		var have []storage.Subject
		have, err = s.whoseOf(ctx, kind, ids, now)
		found = slices.DeleteFunc(found, func(who storage.Subject) bool { return slices.Contains(have, who) })
	}
	return found, err
}

func whoseGrant(d *db, o owned, now time.Time) (storage.Subject, bool) {
	g, found, err := d.filledGrant(o, now)
	return storage.Subject{Issuer: g.Issuer, Subject: g.Identity.Subject}, err == nil && grantVerdict(g, found, now) == storage.OK
}

func whoseConnection(d *db, o owned, now time.Time) (storage.Subject, bool) {
	c, found, err := decode(d, o.body, connectionTimes)
	pending := c.Owner == storage.SharedOwner || strings.HasPrefix(c.Owner, storage.FlowOwner(""))
	return storage.Subject{Issuer: c.Issuer, Subject: c.Owner}, err == nil && found && !pending && !connectionEnded(c, now)
}

func whoseSession(d *db, o owned, now time.Time) (storage.Subject, bool) {
	b, found, err := d.filledSession(storage.Hash{}, o, now)
	return storage.Subject{Issuer: b.Issuer, Subject: b.Identity.Subject}, err == nil && found && !ended(b.ExpiresAt, now)
}

func whosePerson(d *db, o owned, now time.Time) (storage.Subject, bool) {
	p, found, err := decode(d, o.body, personTimes)
	return storage.Subject{Issuer: p.Issuer, Subject: p.Subject}, err == nil && found && !ended(p.ExpiresAt, now)
}
