package identity

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// vouchLifetime is how long a browser may take to come back with the code.
const vouchLifetime = 5 * time.Minute

// loginStateLength is that of every state of a login.
var loginStateLength = len(oauth.NewSecret(""))

// ErrVouched is the error for a login that somebody was vouched for already.
var ErrVouched = errors.New("identity: the login was answered")

// voucher is what is kept of somebody until their browser comes back.
type voucher struct {
	storage.Identity
	Claims *storage.Claims `json:"claims,omitempty"`
}

// Vouch keeps who the person of a login is, and returns the code that their browser
// must come back with. It believes its caller. For each login somebody is vouched
// for once: whoever comes later gets ErrVouched.
//
// The name of a login is known to the browser that began it and to where that was
// sent. Whoever else learns it can have somebody vouched for, and gets a code, but
// that is of no use without the browser; and what the browser's owner gets for the
// login is of no use to others. So nobody is signed in as somebody else unless
// they are led to a link with a code for a login of their own, which only somebody
// can make who knows its name before it is answered.
func (l *Logins) Vouch(ctx context.Context, state string, id storage.Identity) (code string, err error) {
	if len(state) != loginStateLength {
		return "", ErrLoginEnded
	}
	now, login := l.Now(), storage.HashOf(state)
	first, err := l.Store.UseOnce(ctx, storage.HashOf("vouched\x00"+l.Issuer+"\x00"+state), now.Add(LoginLifetime), now)
	if err != nil {
		return "", err
	}
	if !first {
		return "", ErrVouched
	}
	plain, err := json.Marshal(voucher{id, id.Claims})
	if err != nil {
		return "", err
	}
	code = oauth.NewSecret("")
	hash := storage.HashOf(code)
	key := storage.ConnectionKey{Issuer: l.Issuer, Owner: storage.VoucherOwner, Server: id.Kind}
	return code, l.Store.SaveConnectState(ctx, storage.ConnectState{
		Hash: hash, ConnectionKey: key, Browser: login,
		Secret: l.Keys.Seal(plain, sealed.ConnectState(key, hash)...), ExpiresAt: now.Add(vouchLifetime),
	})
}

// vouched returns whom a code was given out for, once, if it was for this login.
// Else the error is a *Denied.
func (l *Logins) vouched(ctx context.Context, state, code string) (Person, error) {
	hash := storage.HashOf(code)
	saved, verdict, err := l.Store.ClaimConnectState(ctx, hash, storage.HashOf(state), l.Now())
	if err != nil {
		return Person{}, err
	}
	if verdict != storage.OK || saved.Issuer != l.Issuer || saved.Owner != storage.VoucherOwner {
		return Person{}, &Denied{Code: "dashboard", Cause: errors.New("no code for this login, or it has ended")}
	}
	plain, err := l.Keys.Open(saved.Secret, sealed.ConnectState(saved.ConnectionKey, hash)...)
	if err != nil {
		return Person{}, err
	}
	var v voucher
	if err := json.Unmarshal(plain, &v); err != nil {
		return Person{}, err
	}
	v.Identity.Claims = v.Claims
	return Person{Identity: v.Identity}, nil
}
