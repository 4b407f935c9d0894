package tokens

import (
	"context"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// tokenStore is a store of access tokens that counts reads and can fail.
type tokenStore struct {
	storage.Store // nil: nothing else is called
	mu            sync.Mutex
	tokens        map[storage.Hash]storage.AccessToken
	err           error
	// beforeReturn runs between reading a token and returning it.
	beforeReturn func()
}

func (s *tokenStore) AccessToken(_ context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	s.mu.Lock()
	t, ok := s.tokens[h]
	err, hook := s.err, s.beforeReturn
	s.mu.Unlock()
	if hook != nil {
		hook()
	}
	switch {
	case err != nil:
		return storage.AccessToken{}, err
	case !ok || !now.Before(t.ExpiresAt):
		return storage.AccessToken{}, storage.ErrNotFound
	}
	return t, nil
}

func (s *tokenStore) put(token string, t storage.AccessToken) storage.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Hash = storage.HashOf(token)
	s.tokens[t.Hash] = t
	return t.Hash
}

func (s *tokenStore) drop(h storage.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, h)
}
