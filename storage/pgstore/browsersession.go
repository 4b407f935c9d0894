package pgstore

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// CreateBrowserSession implements storage.SessionStore.
func (s *sessionStore) CreateBrowserSession(ctx context.Context, b storage.SignIn) error {
	return change(ctx, s.db, func(t *tx) error {
		in := lookAtBrowser(t, b)
		if err := t.send(); err != nil {
			return err
		}
		return createBrowserSession(t, b, in, b.CreatedAt)
	})
}

const sessionByID = `select b.body, p.body from {}browser_sessions b left join {}persons p on p.id = b.person where b.id = $1`

// BrowserSession implements storage.SessionStore.
func (s *sessionStore) BrowserSession(ctx context.Context, h storage.Hash, now time.Time) (storage.BrowserSession, error) {
	o, err := view(ctx, s.db, oneOwned, sessionByID, key(h))
	if err != nil {
		return storage.BrowserSession{}, err
	}
	session, found, err := s.filledSession(h, o, now)
	return live(session, found && !ended(session.ExpiresAt, now), err)
}

// BrowserSessionsOf implements storage.SessionStore.
func (s *sessionStore) BrowserSessionsOf(ctx context.Context, issuer, subject string, now time.Time) (all []storage.BrowserSession, err error) {
	found, err := view(ctx, s.db, func(rows pgx.Rows) ([]identified, error) {
		return pgx.CollectRows(rows, func(r pgx.CollectableRow) (one identified, err error) {
			return one, r.Scan(&one.id, &one.body, &one.person)
		})
	}, `select b.id, b.body, p.body from {}browser_sessions b left join {}persons p on p.id = b.person where b.of_subject = $1`, record.Digest(issuer, subject))
	if err != nil {
		return nil, err
	}
	for _, o := range found {
		b, found, err := s.filledSession(storage.Hash(o.id), o.owned, now)
		if err != nil {
			return nil, err
		}
		if found && !ended(b.ExpiresAt, now) && b.Issuer == issuer && b.Identity.Subject == subject {
			all = append(all, b)
		}
	}
	slices.SortStableFunc(all, func(a, b storage.BrowserSession) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return all, nil
}

// identified is an owned record with its id.
type identified struct {
	id []byte
	owned
}

// DeleteBrowserSession implements storage.SessionStore.
func (s *sessionStore) DeleteBrowserSession(ctx context.Context, h storage.Hash, flows []storage.Hash, now time.Time) error {
	return change(ctx, s.db, func(t *tx) error {
		in := new(browser)
		lockBrowser(t, in, h, flows)
		if err := t.send(); err != nil {
			return err
		}
		b, found, err := s.session(h, in.before)
		if err != nil || !found {
			return err
		}
		t.exec(`delete from {}browser_sessions where id = $1`, key(h))
		ending, err := t.pending(in.flows, b.Issuer, now, func(f storage.Flow) bool { return f.Identity.Subject == b.Identity.Subject })
		if err != nil {
			return err
		}
		return endFlows(t, ending, now)
	})
}

// DeleteBrowserSessions implements storage.SessionStore.
func (s *sessionStore) DeleteBrowserSessions(ctx context.Context, issuer, subject string) error {
	return change(ctx, s.db, func(t *tx) error {
		t.exec(`delete from {}browser_sessions where of_subject = $1`, record.Digest(issuer, subject))
		return nil
	})
}

// browser is what there is in a browser: who was signed in before, and the flows
// of its cookies. All of it is locked.
type browser struct {
	before []byte
	flows  [][]byte
	queue  *queue // of the new session, or nil
}

func lockBrowser(t *tx, in *browser, session storage.Hash, flows []storage.Hash) {
	ofBrowser := func() {
		if len(flows) > 0 {
			t.query(many(&in.flows), `select body from {}flows where browser = any($1) order by id for update`, keys(flows))
		}
	}
	ofBrowser() // first, as SaveFlow locks them, too
	t.query(one(&in.before), `select body from {}browser_sessions where id = $1 for update`, key(session))
	ofBrowser() // and those that were saved while the session was waited for
}

// lookAtBrowser queues what reads and locks what is there before a session.
func lookAtBrowser(t *tx, b storage.SignIn) *browser {
	in := new(browser)
	lockBrowser(t, in, b.Replaces, b.Flows)
	if b.Quota == nil {
		return in
	}
	in.queue = &queue{
		table: "browser_sessions", id: key(b.Hash),
		place: place{
			sender: record.Digest("sessions", b.Issuer, string(b.Quota.Key[:])),
			group:  record.Digest("sessions of a block", b.Issuer, string(b.Quota.Block[:])),
			at:     b.CreatedAt,
		},
		ofSender: b.Quota.Max, ofGroup: b.Quota.MaxBlock,
		drop: func(q queued) { t.exec(`delete from {}browser_sessions where id = $1`, q.id) },
	}
	lockQueue(t, in.queue)
	look(t, in.queue)
	return in
}

// createBrowserSession stores a session in the place of the one it replaces.
// What others began in the browser, as far as it is to end, ends.
func createBrowserSession(t *tx, b storage.SignIn, in *browser, now time.Time) error {
	before, found, err := t.session(b.Replaces, in.before)
	if err != nil {
		return err
	}
	ending, err := t.pending(in.flows, b.Issuer, now, func(f storage.Flow) bool {
		leaves := b.EndsOthers || found && f.Identity.Subject == before.Identity.Subject
		return leaves && !f.Identity.Same(b.Identity)
	})
	if err != nil {
		return err
	}
	if err := endFlows(t, ending, now); err != nil {
		return err
	}
	if found {
		t.exec(`delete from {}browser_sessions where id = $1`, key(before.Hash))
	}
	var p place
	if in.queue != nil {
		p = in.queue.place
	}
	body, err := encode(t.db, b.BrowserSession, sessionTimes)
	if err != nil {
		return err
	}
	t.exec(`insert into {}browser_sessions (id, of_subject, owner, person, queue_sender, queue_group, queued_at, keep_until, body)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		on conflict (id) do update set of_subject = excluded.of_subject, owner = excluded.owner, person = excluded.person, queue_sender = excluded.queue_sender, queue_group = excluded.queue_group,
			queued_at = excluded.queued_at, keep_until = excluded.keep_until, body = excluded.body`,
		key(b.Hash), record.Digest(b.Issuer, b.Identity.Subject), record.Digest(b.Identity.Subject), personOf(b.Issuer, b.Identity), p.sender, p.group, queuedAt(t.db, p), t.keep(b.ExpiresAt), body)
	if in.queue == nil {
		return nil
	}
	if found { // it left its queue
		left := queued{id: key(before.Hash)}
		in.queue.left(left)
	}
	return enter(t, in.queue)
}

// holds is an authentication that a verb depends on.
type holds struct {
	*storage.Authentication
	owned
}

// lockHolds queues what reads it, and keeps it from ending until the verb did.
func lockHolds(t *tx, h *holds) {
	switch {
	case h.Authentication == nil:
	case h.FlowID != "":
		t.query(one(&h.body), `select body from {}flows where id = $1 for share`, []byte(h.FlowID))
		t.query(one(&h.person), `select p.body from {}flows f join {}persons p on p.id = f.person where f.id = $1`, []byte(h.FlowID))
	default:
		t.query(one(&h.body), `select body from {}browser_sessions where id = $1 for share`, key(h.Session))
		t.query(one(&h.person), `select p.body from {}browser_sessions b join {}persons p on p.id = b.person where b.id = $1`, key(h.Session))
	}
}

// login is a login of storage with what is locked and read for it.
type login struct {
	storage.PersonLogin
	person  []byte
	flow    []byte
	browser *browser
}

// SavePerson implements storage.PersonStore.
func (s *personStore) SavePerson(ctx context.Context, l storage.PersonLogin, now time.Time) (storage.Person, storage.Verdict, error) {
	if err := l.Check(); err != nil {
		return storage.Person{}, storage.Unknown, err
	}
	return decidePerson(ctx, s.db, func(t *tx) (storage.Person, storage.Verdict, error) {
		in := &login{PersonLogin: l}
		lockLogin(t, in)
		if err := t.send(); err != nil {
			return l.Person, storage.Unknown, err
		}
		before, _, err := s.person(in.person, l.Person.Issuer, l.Person.Subject)
		if err != nil {
			return l.Person, storage.Unknown, err
		}
		next := l.Person.After(before, now)
		if next.Ended(l.Person.SecretSession) {
			return l.Person, storage.SignedOut, nil
		}
		in.PersonLogin, _ = l.As(next)
		if v, err := begin(t, in, now); v != storage.OK || err != nil {
			return l.Person, v, err
		}
		tellPerson(t, before, next)
		return next, storage.OK, putPerson(t, next)
	})
}

// lockLogin queues the locks of what a login changes, and what reads it: the person
// first, and then the flows and sessions, as whoever ends the person does. A person who
// is not there yet is held by an empty row, which is gone if the verb refuses.
func lockLogin(t *tx, in *login) {
	p := in.Person
	if v := in.OfSession; v != nil {
		t.lock(record.Digest(v.Issuer, v.Name))
	}
	t.query(one(&in.person), `insert into {}persons (id, issuer, keep_until, body) values ($1, '', 0, '')
		on conflict (id) do update set id = excluded.id returning body`, record.Digest(p.Issuer, p.Subject))
	if in.Flow != nil {
		holdFlow(t, &in.flow, in.Flow.ID)
	}
	if in.Browser != nil {
		in.browser = lookAtBrowser(t, *in.Browser)
	}
}

// begin stores what begins with a login. The flow is first, as it may be refused.
func begin(t *tx, in *login, now time.Time) (storage.Verdict, error) {
	if f := in.Flow; f != nil {
		if v, err := replaceFlow(t, in.flow, holds{}, *f, now); v != storage.OK || err != nil {
			return v, err
		}
		if err := putFlow(t, *f); err != nil {
			return storage.Unknown, err
		}
	}
	if b := in.Browser; b != nil {
		if in.browser.queue != nil {
			in.browser.queue.id = key(b.Hash)
		}
		if err := createBrowserSession(t, *b, in.browser, now); err != nil {
			return storage.Unknown, err
		}
	}
	if in.OfSession == nil {
		return storage.OK, nil
	}
	return storage.OK, putSiteValue(t, *in.OfSession)
}
