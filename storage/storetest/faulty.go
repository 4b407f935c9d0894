package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// ErrDisk is what a verb of a Faulty store fails with.
var ErrDisk = errors.New("the disk is on fire")

// Faulty is a store whose verbs fail on demand, and which remembers those that
// were called. It is for tests of what a failure leads to.
type Faulty struct {
	*faults
	faultyAuth
	faultyConnections
	faultySessions
	faultyKeys
	faultyPersons
	faultySeals
	store storage.Store
}

// NewFaulty returns the store, without fault.
func NewFaulty(s storage.Store) *Faulty {
	f := new(faults)
	return &Faulty{f, faultyAuth{f, s}, faultyConnections{f, s}, faultySessions{f, s}, faultyKeys{f, s}, faultyPersons{f, s}, faultySeals{f, s}, s}
}

type faults struct {
	mu     sync.Mutex
	fails  string
	called []string
}

// Fail makes one verb fail from now on; none if it is empty.
func (f *faults) Fail(verb string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = verb
}

// Called returns the verbs that were called since it was last asked.
func (f *faults) Called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	called := f.called
	f.called = nil
	return called
}

func (f *faults) call(verb string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.called = append(f.called, verb)
	if f.fails == verb {
		return ErrDisk
	}
	return nil
}

// fault1 calls a verb with one result, unless it is to fail.
func fault1(f *faults, verb string, do func() error) error {
	if err := f.call(verb); err != nil {
		return err
	}
	return do()
}

// fault2 is fault1 for two results.
func fault2[T any](f *faults, verb string, do func() (T, error)) (T, error) {
	if err := f.call(verb); err != nil {
		return *new(T), err
	}
	return do()
}

// fault3 is fault1 for three results.
func fault3[T, U any](f *faults, verb string, do func() (T, U, error)) (T, U, error) {
	if err := f.call(verb); err != nil {
		return *new(T), *new(U), err
	}
	return do()
}

// Close closes the store. It never fails.
func (f *Faulty) Close() error { return f.store.Close() }

func (f *Faulty) Sweep(ctx context.Context, now time.Time) (int, error) {
	return fault2(f.faults, "Sweep", func() (int, error) { return f.store.Sweep(ctx, now) })
}

func (f *Faulty) Usage(ctx context.Context, now time.Time) (storage.Usage, error) {
	return fault2(f.faults, "Usage", func() (storage.Usage, error) { return f.store.Usage(ctx, now) })
}

func (f *Faulty) Empty(ctx context.Context) (bool, error) {
	return fault2(f.faults, "Empty", func() (bool, error) { return f.store.Empty(ctx) })
}

func (f *Faulty) Check(ctx context.Context) error {
	return fault1(f.faults, "Check", func() error { return f.store.Check(ctx) })
}

// faultySessions is a storage.SessionStore whose verbs fail on demand.
type faultySessions struct {
	*faults
	store storage.SessionStore
}

func (fs *faultySessions) CreateBrowserSession(ctx context.Context, s storage.SignIn) error {
	return fault1(fs.faults, "CreateBrowserSession", func() error { return fs.store.CreateBrowserSession(ctx, s) })
}

func (fs *faultySessions) BrowserSessionsOf(ctx context.Context, issuer, subject string, now time.Time) ([]storage.BrowserSession, error) {
	return fault2(fs.faults, "BrowserSessionsOf", func() ([]storage.BrowserSession, error) {
		return fs.store.BrowserSessionsOf(ctx, issuer, subject, now)
	})
}

func (fs *faultySessions) BrowserSession(ctx context.Context, h storage.Hash, now time.Time) (storage.BrowserSession, error) {
	return fault2(fs.faults, "BrowserSession", func() (storage.BrowserSession, error) { return fs.store.BrowserSession(ctx, h, now) })
}

func (fs *faultySessions) DeleteBrowserSession(ctx context.Context, h storage.Hash, flows []storage.Hash, now time.Time) error {
	return fault1(fs.faults, "DeleteBrowserSession", func() error { return fs.store.DeleteBrowserSession(ctx, h, flows, now) })
}

func (fs *faultySessions) DeleteBrowserSessions(ctx context.Context, issuer, subject string) error {
	return fault1(fs.faults, "DeleteBrowserSessions", func() error { return fs.store.DeleteBrowserSessions(ctx, issuer, subject) })
}

// faultyKeys is a storage.VirtualKeyStore whose verbs fail on demand.
type faultyKeys struct {
	*faults
	store storage.VirtualKeyStore
}

func (fs *faultyKeys) VirtualKeys(ctx context.Context, issuer string) ([]storage.VirtualKey, uint64, error) {
	return fault3(fs.faults, "VirtualKeys", func() ([]storage.VirtualKey, uint64, error) { return fs.store.VirtualKeys(ctx, issuer) })
}

func (fs *faultyKeys) LastVirtualKeyChange(ctx context.Context, issuer string) (uint64, error) {
	return fault2(fs.faults, "LastVirtualKeyChange", func() (uint64, error) { return fs.store.LastVirtualKeyChange(ctx, issuer) })
}

func (fs *faultyKeys) PutVirtualKey(ctx context.Context, k storage.VirtualKey) (storage.VirtualKey, storage.Verdict, error) {
	return fault3(fs.faults, "PutVirtualKey", func() (storage.VirtualKey, storage.Verdict, error) { return fs.store.PutVirtualKey(ctx, k) })
}

func (fs *faultyKeys) DeleteVirtualKey(ctx context.Context, k storage.VirtualKey) (storage.Verdict, error) {
	return fault2(fs.faults, "DeleteVirtualKey", func() (storage.Verdict, error) { return fs.store.DeleteVirtualKey(ctx, k) })
}
