package identity

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

func TestLogins(t *testing.T) {
	keys, err := seal.NewKeyring([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	l := &Logins{Issuer: "https://mcp.example.com", Store: memstore.New(), Keys: keys, Now: func() time.Time { return now }}
	m := &Method{Kind: "company", Start: func(_ context.Context, to Login) (Redirect, error) {
		return Redirect{URL: "https://login.example/?state=" + to.State, Secret: []byte("verifier")}, nil
	}}
	mine := storage.HashOf("my browser")
	begin := func() string {
		t.Helper()
		url, state, err := l.Start(t.Context(), m, PendingLogin{FlowID: "flow", Focus: "notion", CallbackURL: "https://mcp.example.com/back"}, mine)
		if err != nil || len(state) < 43 || url != "https://login.example/?state="+state {
			t.Fatalf("url %q, state %q, %v", url, state, err)
		}
		return state
	}
	fails := func(what string, l *Logins, state string, browser storage.Hash, want error) {
		t.Helper()
		if p, err := l.Claim(t.Context(), state, browser); !errors.Is(err, want) || p.Kind != "" {
			t.Errorf("%s: %+v, %v, want %v", what, p, err, want)
		}
	}

	state := begin()
	fails("another browser", l, state, storage.HashOf("another"), ErrLoginOtherBrowser)
	p, err := l.Claim(t.Context(), state, mine)
	if err != nil || p.Kind != "company" || p.FlowID != "flow" || p.Focus != "notion" || string(p.Secret) != "verifier" || p.CallbackURL != "https://mcp.example.com/back" {
		t.Errorf("claimed %+v, %v", p, err)
	}
	fails("twice", l, state, mine, ErrLoginEnded)
	fails("made up", l, "guess", mine, ErrLoginEnded)

	other := *l
	other.Issuer = "https://other.example"
	fails("another site", &other, begin(), mine, ErrLoginEnded)

	connect := storage.HashOf("state of a connection")
	if err := l.Store.SaveConnectState(t.Context(), storage.ConnectState{
		Hash: connect, ConnectionKey: storage.ConnectionKey{Issuer: l.Issuer, Owner: "user_id:alice", Server: "notion"},
		Browser: mine, ExpiresAt: now.Add(time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	fails("a connection's state", l, "state of a connection", mine, ErrLoginEnded)

	state = begin()
	now = now.Add(LoginLifetime)
	fails("late", l, state, mine, ErrLoginEnded)
}
