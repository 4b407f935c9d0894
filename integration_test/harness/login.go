package harness

import (
	"net/http"
	"testing"
)

// Follow goes where a page sent the browser, to another site.
func (b *Browser) Follow(t testing.TB, p *Page) *Page {
	t.Helper()
	if p.Leaving == nil {
		t.Fatalf("%s (%d) leads nowhere but shows: %s", p.URL.Path, p.Status, p.Text())
	}
	return b.visit(t, http.MethodGet, p.Leaving, nil, "cross-site")
}

// LogIn gets past the page of a Provider that asks who the person is, which it
// does once per browser, and returns where it sends the browser: back.
func (b *Browser) LogIn(t testing.TB, at *Page, account string) *Page {
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
func (b *Browser) Connect(t testing.TB, p *Page, title string) *Page {
	t.Helper()
	return b.Follow(t, b.Follow(t, b.pressConnect(t, p, title)))
}

// ConnectAs is Connect for a Provider, where the person has that account.
func (b *Browser) ConnectAs(t testing.TB, p *Page, title, account string) *Page {
	t.Helper()
	at := b.Follow(t, b.pressConnect(t, p, title))
	return b.Follow(t, b.LogIn(t, at, account))
}

func (b *Browser) pressConnect(t testing.TB, p *Page, title string) *Page {
	t.Helper()
	label := "Connect " + title
	if button, _ := p.button(label); button == nil {
		label += " again"
	}
	return b.Press(t, p, label, nil)
}
