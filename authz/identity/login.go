package identity

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// CallbackPath starts the paths to which browsers come back from where people
// sign in. Each method has its own, so that the answer of one is never taken for
// that of another.
const CallbackPath = "/oauth/login/callback/"

// LoginLifetime is how long a person may take where they sign in.
const LoginLifetime = 15 * time.Minute

// Errors of a login.
var (
	ErrLoginEnded        = errors.New("identity: no such login, or it has ended") // 400
	ErrLoginOtherBrowser = errors.New("identity: the login began in another browser")
)

// ErrEnded is the error for a person who may not sign in any more where they did.
var ErrEnded = errors.New("identity: the person may not sign in there any more")

// Unavailable is the error for a place to sign in that does not answer, so that
// nobody knows who a person is.
type Unavailable struct{ Cause error }

func (e *Unavailable) Error() string {
	return "identity: where people sign in does not answer: " + e.Cause.Error()
}

func (e *Unavailable) Unwrap() error { return e.Cause }

// Person is who somebody turned out to be where they signed in.
type Person struct {
	storage.Identity // with its Claims
	// Secret is what Renew needs, such as a refresh token. It is nil if there is
	// nothing to renew with, and is stored only sealed.
	Secret []byte
	// SignOutHint tells their provider whom to sign out, such as an ID token. It is
	// empty if there is none, and is stored only sealed.
	SignOutHint string
	// Session is what their browser session is called there, if it has a name.
	Session string
}

// Logout is what a logout token says.
type Logout struct {
	// Subject is that of an identity of ours; empty if only Session is known.
	Subject string
	// Session is that of a Person; empty if all sessions of the Subject end.
	Session string
	// ID is the token's. The same token is good once until ExpiresAt.
	ID        string
	ExpiresAt time.Time
}

// PendingLogin is a person who was sent elsewhere to sign in.
type PendingLogin struct {
	Kind Kind `json:"kind"`
	// FlowID is the flow_id of the flow that they sign in for, or empty.
	FlowID string `json:"flow_id,omitempty"`
	// ReturnTo is where they go on outside of flows: a path of ours.
	ReturnTo string `json:"return_to,omitempty"`
	// Focus is what they were about to connect.
	Focus string `json:"focus,omitempty"`
	// OtherAccount is Start's alone.
	OtherAccount bool `json:"-"`
	// Wanted is what is asked for once they are back: a flow, the registration of its
	// client, and the session that it rests on.
	Wanted storage.Wanted `json:"-"`
	// CallbackURL and Secret are what Start was given and returned.
	CallbackURL string `json:"callback_url"`
	Secret      []byte `json:"secret,omitempty"`
}

// LoginStore keeps the states of logins, each until it is claimed.
type LoginStore interface {
	SaveConnectState(ctx context.Context, s storage.ConnectState) error
	ClaimConnectState(ctx context.Context, state, browser storage.Hash, now time.Time) (storage.ConnectState, storage.Verdict, error)
	UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (bool, error)
}

// Logins are the people of one site who were sent elsewhere to sign in. Each
// login ends once, and in the browser that it began in.
type Logins struct {
	Issuer string
	Store  LoginStore
	Keys   *seal.Keyring
	Now    func() time.Time
}

// Start begins a login with a method that has a Start, and returns where to send
// the browser. browser is the hash of the cookie that the answer must come with.
// It is called only after the person pressed a button on a page of ours.
func (l *Logins) Start(ctx context.Context, m *Method, p PendingLogin, browser storage.Hash) (target, state string, err error) {
	state = oauth.NewSecret("")
	redirect, err := m.Start(ctx, Login{State: state, CallbackURL: p.CallbackURL, OtherAccount: p.OtherAccount})
	if err != nil {
		return "", "", err
	}
	p.Kind, p.Secret = m.Kind, redirect.Secret
	plain, err := json.Marshal(p)
	if err != nil {
		return "", "", err
	}
	hash := storage.HashOf(state)
	key := storage.ConnectionKey{Issuer: l.Issuer, Owner: storage.LoginOwner, Server: string(m.Kind)}
	err = l.Store.SaveConnectState(ctx, storage.ConnectState{
		Hash: hash, ConnectionKey: key, Browser: browser, Session: p.Wanted.Session, Flow: p.Wanted.Flow, Client: p.Wanted.Client,
		Secret: l.Keys.Seal(plain, sealed.ConnectState(key, hash)...), ExpiresAt: l.Now().Add(LoginLifetime),
	})
	return redirect.URL, state, err
}

// Answer returns what the browser of a login came back with, for the method's
// Finish.
func (l *Logins) Answer(state string, p PendingLogin, query url.Values) Answer {
	return Answer{
		Query: query, CallbackURL: p.CallbackURL, Secret: p.Secret,
		Vouched: func(ctx context.Context, code string) (Person, error) { return l.vouched(ctx, state, code) },
	}
}

// Claim ends the login that a state belongs to, and returns it. In another
// browser than its own it goes on.
func (l *Logins) Claim(ctx context.Context, state string, browser storage.Hash) (p PendingLogin, err error) {
	hash := storage.HashOf(state)
	saved, verdict, err := l.Store.ClaimConnectState(ctx, hash, browser, l.Now())
	switch {
	case err != nil:
		return p, err
	case verdict == storage.WrongBrowser:
		return p, ErrLoginOtherBrowser
	case verdict != storage.OK || saved.Issuer != l.Issuer || saved.Owner != storage.LoginOwner:
		return p, ErrLoginEnded
	}
	plain, err := l.Keys.Open(saved.Secret, sealed.ConnectState(saved.ConnectionKey, hash)...)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(plain, &p)
}
