package harness

import (
	"net/url"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Person is who signs in, and how.
type Person struct {
	VirtualKey string
	UserID     string
}

// Anonymous is a person who skips the question.
var Anonymous = Person{}

// What is written on the buttons.
const (
	KeyButton       = "Continue with key"
	UserIDButton    = "Continue with user ID"
	AnonymousButton = "Continue without signing in"
	ApproveButton   = "Allow and finish"
	DenyButton      = "Deny"
	NotYouLink      = "Not you?"
)

// SignIn walks from the link a client opened to the redirect back to the
// client: identity page, services page, approval.
func (b *Browser) SignIn(t testing.TB, link string, person Person) *oauthtest.Page {
	t.Helper()
	services := b.Identify(t, b.Open(t, link), person)
	return b.Press(t, services, ApproveButton, nil)
}

// Identify gets a person past the identity page. Where the browser knows somebody
// already, it is asked for all the same.
func (b *Browser) Identify(t testing.TB, identity *oauthtest.Page, person Person) *oauthtest.Page {
	t.Helper()
	if identity.Link(NotYouLink) != "" {
		identity = b.Click(t, identity, NotYouLink)
	}
	switch {
	case person.VirtualKey != "":
		return b.Press(t, identity, KeyButton, url.Values{"vk": {person.VirtualKey}})
	case person.UserID != "":
		return b.Press(t, identity, UserIDButton, url.Values{"user_id": {person.UserID}})
	default:
		return b.Press(t, identity, AnonymousButton, nil)
	}
}

// signInLink is how every client prints the address it would open.
const signInLink = `(https?://[^\s"'<>\x1b]+/authorize\?[^\s"'<>\x1b]+)[\s"'<>\x1b]`

// SignInFor waits until a client prints its sign-in link, signs the person in
// and brings the answer back to the client.
func (b *Browser) SignInFor(t testing.TB, client *programs.Program, person Person) {
	t.Helper()
	b.Deliver(t, b.SignIn(t, SignInLink(t, client), person))
}

// SignInLink waits until a client prints the link that a person has to open.
func SignInLink(t testing.TB, client *programs.Program) string {
	t.Helper()
	return client.Expect(t, signInLink)[1]
}
