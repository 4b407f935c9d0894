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
