package identity

import (
	"context"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Caddy: another Caddy handler authenticated the user.
const Caddy Kind = "caddy"

// ByCaddy lets people sign in as the user whom another Caddy handler
// authenticated, provided that this is the user the page showed. Whoever was
// removed there is not known here, so their grants are good for recheck after
// they last came.
func ByCaddy(recheck time.Duration) Method {
	return Method{
		Kind: Caddy, Form: "caddy", ExcludesStrangers: true, NameVerified: true, Label: "signed in to this site", Recheck: recheck,
		Messages: map[string]string{
			"no_user":    "You are not signed in to this site.",
			"other_user": "Somebody else is signed in now. Check the name and continue again.",
		},
		Prompt: func(r *http.Request, inFlow bool) Prompt {
			user, ok := FromContext(r.Context())
			switch {
			case ok:
				return Prompt{
					Title: "Signed in", Shown: FormValue(user),
					Hint: "This site knows you as " + user.Name + ".", Button: "Continue as " + user.Name,
				}
			case inFlow:
				return Prompt{Title: "Signed in", Hint: "You are not signed in to this site. Sign in, then start again from the application."}
			default:
				return Prompt{Title: "Signed in", Hint: "You are not signed in to this site. Sign in, then come back to this page."}
			}
		},
		Identify: func(r *http.Request) (storage.Identity, error) {
			user, ok := FromContext(r.Context())
			if !ok {
				return storage.Identity{}, &Denied{Code: "no_user"}
			}
			if !IsShown(r, user) {
				return storage.Identity{}, &Denied{Code: "other_user"}
			}
			return user, nil
		},
		Current: func(r *http.Request) (storage.Identity, bool) { return FromContext(r.Context()) },
	}
}

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
