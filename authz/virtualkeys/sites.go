package virtualkeys

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
)

// Sites are the keys of all sites of a configuration. The zero value is ready to
// use.
type Sites struct {
	mu       sync.Mutex // held while keys are read
	byIssuer map[string]*Keys
}

// Open returns the keys of a site, which its copies at other listeners share.
func (s *Sites) Open(ctx context.Context, deps Deps) (*Keys, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keys := s.byIssuer[deps.Config.Issuer]; keys != nil {
		return keys, nil
	}
	keys, err := Open(ctx, deps)
	if err != nil {
		return nil, err
	}
	if s.byIssuer == nil {
		s.byIssuer = map[string]*Keys{}
	}
	s.byIssuer[deps.Config.Issuer] = keys
	return keys, nil
}

// Refresh makes the keys what they are by now, in the store and in files.
func (s *Sites) Refresh(ctx context.Context) error {
	return s.each(func(k *Keys) error { return k.Refresh(ctx) })
}

// End ends what rested on keys that are gone.
func (s *Sites) End(ctx context.Context) error {
	return s.each(func(k *Keys) error { return k.End(ctx) })
}

// SaveUses stores when keys were last used.
func (s *Sites) SaveUses(ctx context.Context) error {
	return s.each(func(k *Keys) error { return k.SaveUses(ctx) })
}

// each calls f with the keys of every site that was opened, and returns all
// errors.
func (s *Sites) each(f func(*Keys) error) error {
	s.mu.Lock()
	opened := slices.Collect(maps.Values(s.byIssuer))
	s.mu.Unlock()
	var all error
	for _, keys := range opened {
		all = errors.Join(all, f(keys))
	}
	return all
}
