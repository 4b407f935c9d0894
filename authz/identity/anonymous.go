package identity

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Anonymous: nobody in particular; what they connect belongs to the one grant.
const Anonymous Kind = "anonymous"

// Anonymously lets people go on without saying who they are.
func Anonymously() Method {
	return Method{
		Kind: Anonymous, Form: "skip", SingleUse: true,
		Prompt: func(*http.Request, bool) Prompt {
			return Prompt{
				Title: "No account", Button: "Continue without signing in",
				Hint: "What you connect belongs to this one application. Only this browser knows it again, for 30 days.",
			}
		},
		Identify: func(*http.Request) (storage.Identity, error) { return NewAnonymous(), nil },
	}
}

// NewAnonymous returns an identity that nobody had before and nobody gets
// again: a second sign-in of the same person is somebody else.
func NewAnonymous() storage.Identity {
	return storage.Identity{Kind: string(Anonymous), Subject: subject(Anonymous, rand.Text())}
}

// IsAnonymous reports whether a subject is nobody in particular.
func IsAnonymous(name string) bool { return strings.HasPrefix(name, subject(Anonymous, "")) }
