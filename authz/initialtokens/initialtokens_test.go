package initialtokens

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

const issuer = "https://mcp.example.com"

func newTokens(t testing.TB) (*Tokens, *oauthtest.Clock, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	clock := oauthtest.NewClock(time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC))
	return &Tokens{Issuer: issuer, Store: memstore.New(), Events: oauthtest.Events(zap.New(core)), Now: clock.Now}, clock, logs
}

func (ts *Tokens) make(t testing.TB, name string, expires time.Time, uses int) string {
	t.Helper()
	_, secret, err := ts.Create(t.Context(), name, expires, uses)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// good reports whether a token is good, by its name.
func (ts *Tokens) good(t testing.TB, secret string) string {
	t.Helper()
	name, err := ts.Check(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func (ts *Tokens) names(t testing.TB) (names []string) {
	t.Helper()
	all, err := ts.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range all {
		names = append(names, token.Name)
	}
	return names
}

func TestTokenLife_G21(t *testing.T) {
	ts, clock, logs := newTokens(t)
	ever, soon, once := ts.make(t, "ever", time.Time{}, 0), ts.make(t, "soon", clock.Now().Add(time.Hour), 0), ts.make(t, "once", time.Time{}, 1)
	if got := ts.names(t); !slices.Equal(got, []string{"ever", "soon", "once"}) {
		t.Errorf("listed %v", got)
	}
	for secret, want := range map[string]string{ever: "ever", soon: "soon", once: "once", "": "", Prefix: "", ever + "x": "", strings.ToUpper(ever): ""} {
		if got := ts.good(t, secret); got != want {
			t.Errorf("%q is %q, want %q", secret[:min(len(secret), 10)], got, want)
		}
	}
	for range 3 {
		if name, err := ts.Use(t.Context(), ever); name != "ever" || err != nil {
			t.Errorf("ever: %q, %v", name, err)
		}
	}
	for _, want := range []string{"once", ""} {
		if name, err := ts.Use(t.Context(), once); name != want || err != nil {
			t.Errorf("once: %q, %v; want %q", name, err, want)
		}
	}
	clock.Advance(time.Hour)
	if ts.good(t, soon) != "" || ts.good(t, once) != "" || ts.good(t, ever) != "ever" {
		t.Error("what ended is good, or what did not end is not")
	}
	if err := ts.Delete(t.Context(), "ever"); err != nil {
		t.Error(err)
	}
	if err := ts.Delete(t.Context(), "ever"); !errors.Is(err, ErrUnknown) {
		t.Errorf("deleted again: %v", err)
	}
	if got := ts.good(t, ever); got != "" || len(ts.names(t)) != 0 {
		t.Errorf("after it was deleted, it is %q", got)
	}
	again := ts.make(t, "ever", time.Time{}, 0)
	if ts.good(t, ever) != "" || ts.good(t, again) != "ever" {
		t.Error("a token of the same name is good with the former secret")
	}
	v, err := ts.Store.SiteValue(t.Context(), issuer, storage.InitialTokensName, clock.Now())
	if err != nil || strings.Contains(v.Text, again) || strings.Contains(v.Text, Prefix) {
		t.Errorf("what is kept has the token: %s, %v", v.Text, err)
	}
	if n := logs.FilterField(zap.String("person", "initial_access_token:ever")).Len(); n != 3 {
		t.Errorf("%d lines about ever, want that it was made, deleted and made", n)
	}
}

func TestTokenRefused_G21(t *testing.T) {
	ts, clock, _ := newTokens(t)
	ts.make(t, "taken", time.Time{}, 0)
	for name, tt := range map[string]struct {
		name     string
		expires  time.Time
		uses     int
		conflict bool
	}{
		"no name":     {"", time.Time{}, 0, false},
		"a path":      {"a/b", time.Time{}, 0, false},
		"a dot":       {".", time.Time{}, 0, false},
		"past":        {"a", clock.Now(), 0, false},
		"fewer uses":  {"a", time.Time{}, -1, false},
		"taken":       {"taken", time.Time{}, 0, true},
		"more uses":   {"a", time.Time{}, maxUses + 1, false},
		"not visible": {"a\u200bb", time.Time{}, 0, false},
	} {
		_, secret, err := ts.Create(t.Context(), tt.name, tt.expires, tt.uses)
		if r := (*Refused)(nil); !errors.As(err, &r) || r.Conflict != tt.conflict || secret != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range most - 1 {
		ts.make(t, fmt.Sprint(i), time.Time{}, 0)
	}
	if _, _, err := ts.Create(t.Context(), "one more", time.Time{}, 0); err == nil {
		t.Error("there are more than a value can hold")
	}
}

// However many use a token at a time, it is good for as many as it says.
func TestTokenUsedByMany_G21(t *testing.T) {
	ts, _, _ := newTokens(t)
	secret := ts.make(t, "few", time.Time{}, 5)
	var used atomic.Int64
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			name, err := ts.Use(t.Context(), secret)
			if err != nil {
				t.Error(err)
			}
			if name != "" {
				used.Add(1)
			}
		})
	}
	all.Wait()
	if used.Load() != 5 {
		t.Errorf("used %d times, want 5", used.Load())
	}
}
