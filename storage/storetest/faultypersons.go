package storetest

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// faultySeals is a storage.SealedStore whose verb fails on demand.
type faultySeals struct {
	*faults
	store storage.SealedStore
}

func (fs *faultySeals) ReplaceSealed(ctx context.Context, after string, limit int, fn func(storage.SealedValue) []byte) (string, error) {
	return fault2(fs.faults, "ReplaceSealed", func() (string, error) { return fs.store.ReplaceSealed(ctx, after, limit, fn) })
}

// faultyPersons is a storage.PersonStore whose verbs fail on demand.
type faultyPersons struct {
	*faults
	store storage.PersonStore
}

func (fs *faultyPersons) Person(ctx context.Context, issuer, subject string, now time.Time) (storage.Person, error) {
	return fault2(fs.faults, "Person", func() (storage.Person, error) { return fs.store.Person(ctx, issuer, subject, now) })
}

func (fs *faultyPersons) Subjects(ctx context.Context, after string, limit int, now time.Time) ([]storage.Subject, string, error) {
	return fault3(fs.faults, "Subjects", func() ([]storage.Subject, string, error) { return fs.store.Subjects(ctx, after, limit, now) })
}

func (fs *faultyPersons) SavePerson(ctx context.Context, l storage.PersonLogin, now time.Time) (storage.Person, storage.Verdict, error) {
	return fault3(fs.faults, "SavePerson", func() (storage.Person, storage.Verdict, error) { return fs.store.SavePerson(ctx, l, now) })
}

func (fs *faultyPersons) UpdatePerson(ctx context.Context, p storage.Person, now time.Time) (storage.Person, storage.Verdict, error) {
	return fault3(fs.faults, "UpdatePerson", func() (storage.Person, storage.Verdict, error) { return fs.store.UpdatePerson(ctx, p, now) })
}

func (fs *faultyPersons) DuePersons(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.Person, error) {
	return fault2(fs.faults, "DuePersons", func() ([]storage.Person, error) { return fs.store.DuePersons(ctx, issuer, limit, now, retryAt) })
}

func (fs *faultyPersons) EndPerson(ctx context.Context, e storage.PersonEnd) (storage.Revocation, storage.Verdict, error) {
	return fault3(fs.faults, "EndPerson", func() (storage.Revocation, storage.Verdict, error) { return fs.store.EndPerson(ctx, e) })
}
