package harness

import (
	"net/url"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// KeyPageButton is what is written on the button below a pasted key.
const KeyPageButton = "Check and connect"

// PasteKey presses the button that connects a server, pastes a key on the page
// that asks for it, and returns the page that follows.
func (b *Browser) PasteKey(t testing.TB, p *oauthtest.Page, title, key string) *oauthtest.Page {
	t.Helper()
	return b.PasteAgain(t, b.pressConnect(t, p, title), key)
}

// PasteAgain pastes a key on the page that asks for it.
func (b *Browser) PasteAgain(t testing.TB, p *oauthtest.Page, key string) *oauthtest.Page {
	t.Helper()
	return b.Press(t, p, KeyPageButton, url.Values{"key-0": {key}})
}
