package accounts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// recordingStore is a store that can fail, and that remembers what it was given.
type recordingStore struct {
	storage.Store
	mu      sync.Mutex
	fail    error
	states  []storage.ConnectState
	clients []storage.UpstreamClient
}

func newRecordingStore() *recordingStore { return &recordingStore{Store: memstore.New()} }

func (s *recordingStore) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *recordingStore) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fail
}

func (s *recordingStore) Connection(ctx context.Context, k storage.ConnectionKey, now time.Time) (storage.Connection, error) {
	if err := s.failure(); err != nil {
		return storage.Connection{}, err
	}
	return s.Store.Connection(ctx, k, now)
}

func (s *recordingStore) PutConnection(ctx context.Context, c storage.Connection, now time.Time) (storage.Connection, storage.Verdict, error) {
	if err := s.failure(); err != nil {
		return storage.Connection{}, storage.Unknown, err
	}
	return s.Store.PutConnection(ctx, c, now)
}

func (s *recordingStore) ReplaceConnection(ctx context.Context, c storage.ConnectionReplacement, now time.Time) (storage.Connection, storage.Verdict, error) {
	if err := s.failure(); err != nil {
		return storage.Connection{}, storage.Unknown, err
	}
	return s.Store.ReplaceConnection(ctx, c, now)
}

func (s *recordingStore) ClaimConnectState(ctx context.Context, state, browser storage.Hash, now time.Time) (storage.ConnectState, storage.Verdict, error) {
	if err := s.failure(); err != nil {
		return storage.ConnectState{}, storage.Unknown, err
	}
	return s.Store.ClaimConnectState(ctx, state, browser, now)
}

func (s *recordingStore) SaveConnectState(ctx context.Context, u storage.ConnectState) error {
	s.mu.Lock()
	s.states = append(s.states, u)
	s.mu.Unlock()
	return s.Store.SaveConnectState(ctx, u)
}

func (s *recordingStore) PutUpstreamClient(ctx context.Context, c storage.UpstreamClient, replaces []byte, now time.Time) (storage.Verdict, error) {
	s.mu.Lock()
	s.clients = append(s.clients, c)
	s.mu.Unlock()
	return s.Store.PutUpstreamClient(ctx, c, replaces, now)
}

// swapUpstreamClient puts a record in the place of whatever is there.
func (s *recordingStore) swapUpstreamClient(ctx context.Context, c storage.UpstreamClient, now time.Time) error {
	return swapUpstreamClient(ctx, s.Store, c, now)
}

func swapUpstreamClient(ctx context.Context, store Store, c storage.UpstreamClient, now time.Time) error {
	current, err := store.UpstreamClient(ctx, c.Issuer, c.Provider, c.Server, now)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	verdict, err := store.PutUpstreamClient(ctx, c, current.Secret, now)
	if err == nil && verdict != storage.OK {
		err = fmt.Errorf("not stored: %v", verdict)
	}
	return err
}

// plantClient puts a registration in the place of whatever is there, as an
// older version wrote it.
func (b *Broker) plantClient(ctx context.Context, s *config.Server, provider string, r registration, expires time.Time) error {
	return swapUpstreamClient(ctx, b.deps.Store, storage.UpstreamClient{
		Issuer: b.cfg.Issuer, Provider: provider, Server: s.ID,
		Secret: b.seal(r, sealed.UpstreamClient(b.cfg.Issuer, provider, s.ID)...), ExpiresAt: expires,
	}, b.deps.Now())
}

// storedClient returns the registration that people are sent to a provider as.
func (b *Broker) storedClient(ctx context.Context, s *config.Server, provider string) (*registration, error) {
	rs, err := b.load(ctx, s.ID, provider)
	if err != nil || rs.ID == "" {
		return nil, err
	}
	return &rs.registration, nil
}
