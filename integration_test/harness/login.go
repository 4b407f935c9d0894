package harness

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Browser is a person's who uses the pages of a gateway, and of a Provider.
type Browser struct{ *oauthtest.Browser }

// NewBrowser returns a browser that nobody has used.
func NewBrowser(t testing.TB) *Browser { return &Browser{oauthtest.NewBrowser(t)} }

// LogIn gets past the page of a Provider that asks who the person is, which it
// does once per browser, and returns where it sends the browser: back.
func (b *Browser) LogIn(t testing.TB, at *oauthtest.Page, account string) *oauthtest.Page {
	t.Helper()
	if at.Leaving == nil {
		at = b.Press(t, at, "Log in as "+account, nil)
	}
	if at.Leaving == nil {
		t.Fatalf("the provider (%d) does not send the browser back but shows: %s", at.Status, at.Text())
	}
	return at
}

// Connect presses the button that connects a server, goes to its provider and,
// once back, returns the page with the outcome. The provider must not ask who
// the person is.
func (b *Browser) Connect(t testing.TB, p *oauthtest.Page, title string) *oauthtest.Page {
	t.Helper()
	return b.Follow(t, b.Follow(t, b.pressConnect(t, p, title)))
}

// ConnectAs is Connect for a Provider, where the person has that account.
func (b *Browser) ConnectAs(t testing.TB, p *oauthtest.Page, title, account string) *oauthtest.Page {
	t.Helper()
	at := b.Follow(t, b.pressConnect(t, p, title))
	return b.Follow(t, b.LogIn(t, at, account))
}

func (b *Browser) pressConnect(t testing.TB, p *oauthtest.Page, title string) *oauthtest.Page {
	t.Helper()
	label := "Connect " + title
	if !p.HasButton(label) {
		label += " again"
	}
	return b.Press(t, p, label, nil)
}

// CarryTo gives another browser the cookies of an address whose names begin so.
// Cookies know no ports.
func (b *Browser) CarryTo(t testing.TB, other *Browser, address, prefix string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	cookies := slices.DeleteFunc(b.Client.Jar.Cookies(u), func(c *http.Cookie) bool { return !strings.HasPrefix(c.Name, prefix) })
	other.Client.Jar.SetCookies(u, cookies)
}
