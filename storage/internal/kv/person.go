package kv

import (
	"bytes"
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Person implements storage.PersonStore.
func (s *personStore) Person(ctx context.Context, issuer, subject string, now time.Time) (storage.Person, error) {
	return view(ctx, s.engine, func(r Reader) (storage.Person, error) {
		p, found, err := getPerson(r, issuer, subject)
		if err == nil && (!found || ended(p.ExpiresAt, now)) {
			err = storage.ErrNotFound
		}
		if err != nil {
			return storage.Person{}, err
		}
		return p, nil
	})
}

// SavePerson implements storage.PersonStore.
func (s *personStore) SavePerson(ctx context.Context, l storage.PersonLogin, now time.Time) (storage.Person, storage.Verdict, error) {
	if err := l.Check(); err != nil {
		return storage.Person{}, storage.Unknown, err
	}
	return decidePerson(ctx, s.engine, func(tx Tx) (storage.Person, storage.Verdict, error) {
		before, _, err := getPerson(tx, l.Person.Issuer, l.Person.Subject)
		if err != nil {
			return l.Person, storage.Unknown, err
		}
		next := l.Person.After(before, now)
		if next.Ended(l.Person.SecretSession) {
			return l.Person, storage.SignedOut, nil
		}
		begins, _ := l.As(next)
		if v, err := begin(tx, begins, now); v != storage.OK || err != nil {
			return l.Person, v, err
		}
		return next, storage.OK, putPerson(tx, before, next)
	})
}

// begin stores what begins with a login. The flow is first, as it may be refused.
func begin(tx Tx, l storage.PersonLogin, now time.Time) (storage.Verdict, error) {
	if l.Flow != nil {
		if v, err := saveFlow(tx, *l.Flow, now); v != storage.OK || err != nil {
			return v, err
		}
	}
	if l.Browser != nil {
		if err := createBrowserSession(tx, *l.Browser, now); err != nil {
			return storage.Unknown, err
		}
	}
	if l.OfSession == nil {
		return storage.OK, nil
	}
	return storage.OK, putSiteValue(tx, *l.OfSession)
}

// UpdatePerson implements storage.PersonStore.
func (s *personStore) UpdatePerson(ctx context.Context, p storage.Person, now time.Time) (storage.Person, storage.Verdict, error) {
	return decidePerson(ctx, s.engine, func(tx Tx) (storage.Person, storage.Verdict, error) {
		before, _, err := getPerson(tx, p.Issuer, p.Subject)
		if err != nil {
			return p, storage.Unknown, err
		}
		next, verdict := p.InPlaceOf(before, now)
		if verdict != storage.OK {
			return p, verdict, nil
		}
		return next, storage.OK, putPerson(tx, before, next)
	})
}

// decidePerson runs a verb that answers with a person, if it is OK, and a verdict.
func decidePerson(ctx context.Context, e Engine, verb func(Tx) (storage.Person, storage.Verdict, error)) (storage.Person, storage.Verdict, error) {
	verdict := storage.Unknown
	p, err := update(ctx, e, func(tx Tx) (p storage.Person, err error) {
		p, verdict, err = verb(tx)
		return p, err
	})
	if err != nil || verdict != storage.OK {
		return storage.Person{}, verdict, err
	}
	return p, storage.OK, nil
}

// DuePersons implements storage.PersonStore.
func (s *personStore) DuePersons(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.Person, error) {
	return update(ctx, s.engine, func(tx Tx) ([]storage.Person, error) {
		due, err := duePersons(tx, issuer, limit, now)
		if err != nil {
			return nil, err
		}
		for i, before := range due {
			due[i].DueAt = retryAt
			due[i].Revision++
			if err := putPerson(tx, before, due[i]); err != nil {
				return nil, err
			}
		}
		return due, nil
	})
}

// duePersons returns the first that are due.
func duePersons(r Reader, issuer string, limit int, now time.Time) ([]storage.Person, error) {
	var due []storage.Person
	prefix := ownerPrefix(kindDuePerson, issuer, "")
	end := appendSeconds(bytes.Clone(prefix), now.Add(time.Second))
	for key := range scanPrefix(r, prefix) {
		if len(due) >= limit || bytes.Compare(key, end) >= 0 {
			break
		}
		var p storage.Person
		found, err := getJSON(r, append(ownerPrefix(kindPerson, issuer, ""), key[len(prefix)+8:]...), &p)
		if err != nil {
			return nil, err
		}
		// An entry without its record is one that the sweep is at.
		if found && !p.DueAt.After(now) && !ended(p.ExpiresAt, now) {
			due = append(due, p)
		}
	}
	return due, nil
}

// EndPerson implements storage.PersonStore.
func (s *personStore) EndPerson(ctx context.Context, e storage.PersonEnd) (storage.Revocation, storage.Verdict, error) {
	verdict := storage.Unknown
	rev, err := update(ctx, s.engine, func(tx Tx) (rev storage.Revocation, err error) {
		rev, verdict, err = endPerson(tx, e)
		return rev, err
	})
	if err != nil {
		return rev, storage.Unknown, err
	}
	return rev, verdict, nil
}

func endPerson(tx Tx, e storage.PersonEnd) (rev storage.Revocation, verdict storage.Verdict, err error) {
	p, found, err := getPerson(tx, e.Issuer, e.Subject)
	if err != nil {
		return rev, storage.Unknown, err
	}
	if !e.IsOf(p) {
		return rev, storage.Changed, nil
	}
	if rev, err = revokeGrantsOf(tx, e); err != nil {
		return rev, storage.Unknown, err
	}
	if err := endSessionsOf(tx, e); err != nil {
		return rev, storage.Unknown, err
	}
	err = endFlows(tx, subjectFlowsPrefix(e.Issuer, e.Subject), e.Now, func(f storage.Flow) bool { return e.Ends(f.Issuer, f.Identity) })
	switch {
	case err != nil || !found:
	case e.Session == "":
		err = removePerson(tx, p)
	default:
		err = putPerson(tx, p, e.Mark(p))
	}
	return rev, storage.OK, err
}

// revokeGrantsOf revokes the grants that end.
func revokeGrantsOf(tx Tx, e storage.PersonEnd) (all storage.Revocation, err error) {
	var ids []string
	prefix := subjectGrantsPrefix(e.Issuer, e.Subject)
	for key := range scanPrefix(tx, prefix) {
		ids = append(ids, string(key[len(prefix):]))
	}
	for _, id := range ids {
		g, found, err := getGrant(tx, id)
		if err != nil {
			return all, err
		}
		if !found || !e.Ends(g.Issuer, g.Identity) {
			continue
		}
		rev, err := revokeGrant(tx, id, e.Now)
		if err != nil {
			return all, err
		}
		all.GrantIDs = append(all.GrantIDs, rev.GrantIDs...)
		all.AccessTokens = append(all.AccessTokens, rev.AccessTokens...)
	}
	return all, nil
}

// endSessionsOf removes the browser sessions that end.
func endSessionsOf(tx Tx, e storage.PersonEnd) error {
	var ending []storage.Hash
	prefix := subjectSessionsPrefix(e.Issuer, e.Subject)
	for key := range scanPrefix(tx, prefix) {
		b, found, err := getBrowserSession(tx, storage.Hash(key[len(prefix):]))
		if err != nil {
			return err
		}
		if found && e.Ends(b.Issuer, b.Identity) {
			ending = append(ending, b.Hash)
		}
	}
	for _, h := range ending {
		if _, _, err := deleteBrowserSession(tx, h); err != nil {
			return err
		}
	}
	return nil
}

// fill gives an identity its claims. It reports false if its person is not there
// any more.
func fill(r Reader, issuer string, id *storage.Identity, now time.Time) (bool, error) {
	if id.Person == "" {
		return true, nil
	}
	p, found, err := getPerson(r, issuer, id.Subject)
	return err == nil && found && p.Fill(id, now), err
}

func personKey(issuer, subject string) []byte {
	return append(ownerPrefix(kindPerson, issuer, ""), record.Digest(subject)...)
}

// duePersonKey sorts the people of an issuer by when they are due, to the second.
func duePersonKey(p storage.Person) []byte {
	return append(appendSeconds(ownerPrefix(kindDuePerson, p.Issuer, ""), p.DueAt), record.Digest(p.Subject)...)
}

func getPerson(r Reader, issuer, subject string) (p storage.Person, found bool, err error) {
	found, err = getJSON(r, personKey(issuer, subject), &p)
	if err == nil && found && (p.Issuer != issuer || p.Subject != subject) {
		err = record.ErrCorrupt // somebody moved the record
	}
	if err != nil {
		return storage.Person{}, false, err
	}
	return p, found, nil
}

// putPerson stores a person where there was before, zero if there was nothing.
func putPerson(tx Tx, before, p storage.Person) error {
	if !before.DueAt.IsZero() {
		if err := tx.Delete(duePersonKey(before)); err != nil {
			return err
		}
	}
	keepUntil := record.Until(p.ExpiresAt)
	if !p.DueAt.IsZero() {
		if err := tx.Put(duePersonKey(p), record.New(keepUntil, 0)); err != nil {
			return err
		}
	}
	return putJSON(tx, personKey(p.Issuer, p.Subject), keepUntil, p)
}

func removePerson(tx Tx, p storage.Person) error {
	if !p.DueAt.IsZero() {
		if err := tx.Delete(duePersonKey(p)); err != nil {
			return err
		}
	}
	return tx.Delete(personKey(p.Issuer, p.Subject))
}
