package identity

import (
	"context"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Kind is a way to prove, or claim, an identity.
type Kind string

// The kinds of identity.
const (
	// VirtualKey: the person knows a key that the operator handed out.
	VirtualKey Kind = "virtual_key"
	// UserID: the person says who they are. Anybody can say anything.
	UserID Kind = "user_id"
	// Anonymous: nobody in particular; what they connect belongs to the one grant.
	Anonymous Kind = "anonymous"
	// Caddy: another Caddy handler authenticated the user.
	Caddy Kind = "caddy"
)

// Proves reports whether an identity of this kind proves anything. Anybody can
// have one of a kind that does not, as often as they like.
func (k Kind) Proves() bool { return k != UserID && k != Anonymous }

// subject returns the issuer-wide unique name of id among its kind.
func subject(k Kind, id string) string { return string(k) + ":" + id }

type userKey struct{}

// WithUser returns a context that carries the user whom the web server in
// front of the pages authenticated. Only the server may call it, never with
// anything a client can set.
func WithUser(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, userKey{}, user)
}

// FromContext returns the identity of the user that WithUser recorded.
func FromContext(ctx context.Context) (storage.Identity, bool) {
	user, _ := ctx.Value(userKey{}).(string)
	if user == "" {
		return storage.Identity{}, false
	}
	return storage.Identity{Kind: string(Caddy), Subject: subject(Caddy, user), Name: user}, true
}
