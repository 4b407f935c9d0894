package upstream

import (
	"context"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// fakeStore is a Connections in memory, as far as these tests go.
type fakeStore struct {
	storage.Connections // nil: what is not below is not called
	mu                  sync.Mutex
	connections         map[storage.ConnectionKey]storage.Connection
	states              map[storage.Hash]storage.UpstreamState
	clients             map[[3]string]storage.UpstreamClient
	fail                error
}

func newFakeStore() *fakeStore {
	return &fakeStore{
		connections: map[storage.ConnectionKey]storage.Connection{},
		states:      map[storage.Hash]storage.UpstreamState{},
		clients:     map[[3]string]storage.UpstreamClient{},
	}
}

func (f *fakeStore) Connection(_ context.Context, k storage.ConnectionKey, _ time.Time) (storage.Connection, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.connections[k]
	if !ok {
		return c, storage.ErrNotFound
	}
	return c, f.fail
}

func (f *fakeStore) PutConnection(_ context.Context, c storage.Connection, _ time.Time) (storage.Connection, storage.Verdict, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return c, storage.Unknown, f.fail
	}
	if current := f.connections[c.ConnectionKey]; current.Revision != c.Revision {
		return current, storage.Mismatch, nil
	}
	c.Revision++
	f.connections[c.ConnectionKey] = c
	return c, storage.OK, nil
}

func (f *fakeStore) SaveUpstreamState(_ context.Context, s storage.UpstreamState) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states[s.Hash] = s
	return f.fail
}

func (f *fakeStore) ClaimUpstreamState(_ context.Context, state, browser storage.Hash, now time.Time) (storage.UpstreamState, storage.Verdict, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.states[state]
	switch {
	case f.fail != nil || !ok || !s.ExpiresAt.After(now):
		return storage.UpstreamState{}, storage.Unknown, f.fail
	case s.Browser != browser:
		return storage.UpstreamState{}, storage.Mismatch, nil
	}
	delete(f.states, state)
	return s, storage.OK, nil
}

func (f *fakeStore) UpstreamClient(_ context.Context, issuer, provider, server string, now time.Time) (storage.UpstreamClient, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.clients[[3]string{issuer, provider, server}]
	if !ok || !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(now) {
		return storage.UpstreamClient{}, storage.ErrNotFound
	}
	return c, f.fail
}

func (f *fakeStore) PutUpstreamClient(_ context.Context, c storage.UpstreamClient) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients[[3]string{c.Issuer, c.Provider, c.Server}] = c
	return f.fail
}

func (f *fakeStore) DeleteUpstreamClient(_ context.Context, issuer, provider, server string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.clients, [3]string{issuer, provider, server})
	return f.fail
}
