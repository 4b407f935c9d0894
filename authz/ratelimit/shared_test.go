package ratelimit

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// countingStore counts exactly, and never forgets.
type countingStore struct {
	used  map[storage.Hash]int
	asked int
	err   error
	slow  bool
}

func newCountingStore() *countingStore { return &countingStore{used: map[storage.Hash]int{}} }

func (s *countingStore) TakeRates(ctx context.Context, rates []storage.Rate) (bool, error) {
	s.asked++
	if s.slow {
		<-ctx.Done()
		return false, ctx.Err()
	}
	if s.err != nil {
		return false, s.err
	}
	if slices.ContainsFunc(rates, func(r storage.Rate) bool { return s.used[r.Key] >= r.PerMinute }) {
		return false, nil
	}
	for _, r := range rates {
		s.used[r.Key]++
	}
	return true, nil
}

// Processes that share a store have one limit together, for each block of addresses.
func TestSharedLimit_N10(t *testing.T) {
	store := newCountingStore()
	a, b := New(1000).SharedBy(store), New(1000).SharedBy(store)
	allowed := 0
	for range 100 {
		for _, l := range []*Limiter{a, b} {
			if l.AllowShared(t.Context(), "k", "192.0.2.1", "", 5) {
				allowed++
			}
		}
	}
	if allowed != 5 {
		t.Errorf("%d events are allowed, want 5", allowed)
	}
	if store.asked > 10 {
		t.Errorf("the store was asked %d times about a flood, want at most the limit of each process, 10 together", store.asked)
	}
	if !a.AllowShared(t.Context(), "k", "192.0.2.2", "", 5) || !b.AllowShared(t.Context(), "k", "192.0.2.1", "other", 5) || !b.AllowShared(t.Context(), "other", "192.0.2.1", "", 5) {
		t.Error("something else is limited, too")
	}
	asked := store.asked
	a.Allow("k", "192.0.2.3", 5)
	a.AllowShared(t.Context(), "k", "192.0.2.3", "", 0)
	if store.asked != asked {
		t.Error("the store is asked about what counts for a process alone, or has no limit")
	}
}

// A store that fails or is slow refuses nobody, and holds up nobody for long.
func TestSharedLimitWithoutItsStore(t *testing.T) {
	for name, broken := range map[string]func(*countingStore){
		"fails": func(s *countingStore) { s.err = errors.New("away") },
		"slow":  func(s *countingStore) { s.slow = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newCountingStore()
				broken(store)
				l := New(1000).SharedBy(store)
				began, allowed := time.Now(), 0
				for range 10 {
					if l.AllowShared(t.Context(), "k", "alice", "", 3) {
						allowed++
					}
				}
				if took := time.Since(began); allowed != 3 || took > sharedWait || store.asked != 1 {
					t.Errorf("%d are allowed after %v, asked %d times; want this process's 3 within %v, asked once", allowed, took, store.asked, sharedWait)
				}
				store.err, store.slow = nil, false
				time.Sleep(sharedPause)
				if !l.AllowShared(t.Context(), "k", "bob", "", 3) || store.asked != 2 {
					t.Errorf("it is not asked again: %d times", store.asked)
				}
			})
		})
	}
}

// A caller who goes away says nothing about the store.
func TestSharedLimitOfACallerWhoLeft(t *testing.T) {
	store := newCountingStore()
	store.slow = true
	l := New(1000).SharedBy(store)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.AllowShared(ctx, "k", "alice", "", 3)
	store.slow = false
	if l.AllowShared(t.Context(), "k", "bob", "", 3); store.asked != 2 {
		t.Errorf("asked %d times, want 2", store.asked)
	}
}

// Which limits hold for all processes is a list: what is not in it never asks the
// store, the access tokens of calls above all.
func TestWhichLimitsAreShared(t *testing.T) {
	for name, tc := range map[string]struct {
		count  func(*Attempts, *http.Request)
		shared bool
	}{
		"wrong sign-ins":           {func(a *Attempts, r *http.Request) { a.AllowWrongSignIn(r, "flow") }, true},
		"pasted keys":              {func(a *Attempts, r *http.Request) { a.AllowPastedKey(r, "flow") }, true},
		"connect requests":         {func(a *Attempts, r *http.Request) { a.AllowConnect(r, "flow") }, true},
		"sign-ins without a proof": {func(a *Attempts, r *http.Request) { a.AllowUnproved(r) }, true},
		"flows of who is known":    {func(a *Attempts, r *http.Request) { a.AllowKnown(r) }, false},
		"registrations":            {func(a *Attempts, r *http.Request) { a.AllowRegistration(r, 5) }, true},
		"wrong clients":            {func(a *Attempts, r *http.Request) { a.AllowWrongClient(r, "client") }, true},
		"registration tokens":      {func(a *Attempts, r *http.Request) { a.AllowWrongSecret(r, RegistrationToken) }, true},
		"initial access tokens":    {func(a *Attempts, r *http.Request) { a.AllowWrongSecret(r, InitialToken) }, true},
		"dashboard tokens":         {func(a *Attempts, r *http.Request) { a.AllowWrongSecret(r, DashboardToken) }, true},
		"access tokens":            {func(a *Attempts, r *http.Request) { a.AllowWrongSecret(r, BearerToken) }, false},
		"refused requests":         {func(a *Attempts, r *http.Request) { a.AllowAddress(r, "authorize_refused", 5) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			store := newCountingStore()
			a := &Attempts{
				Issuer: "https://mcp.example.com", UnprovedPerMinute: 5, Limiter: New(1000).SharedBy(store),
				ClientIP: func(*http.Request) string { return "192.0.2.1" },
			}
			tc.count(a, httptest.NewRequest("POST", "/", nil))
			if got := store.asked > 0; got != tc.shared {
				t.Errorf("asks the store: %v, want %v", got, tc.shared)
			}
		})
	}
}
