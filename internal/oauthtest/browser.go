package oauthtest

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Browser walks pages as a person with a browser does: it keeps cookies,
// follows redirects on a site, says with Sec-Fetch headers where a request comes
// from, and presses buttons by what is written on them. It runs no script, as
// the pages need none.
type Browser struct {
	// Client sends the requests, and has the cookies.
	Client *http.Client
	// Follows reports whether a redirect to another site is followed at once; if
	// nil, none is.
	Follows func(u *url.URL) bool
}

// NewBrowser returns a browser that nobody has used.
func NewBrowser(t testing.TB) *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{Client: &http.Client{
		Jar:     jar,
		Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// Open goes to an address as if typed in, or given by another program.
func (b *Browser) Open(t testing.TB, address string) *Page {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return b.visit(t, http.MethodGet, u, nil, "none")
}

// Press presses the button labelled so, after filling in fields by name.
func (b *Browser) Press(t testing.TB, p *Page, label string, fill url.Values) *Page {
	t.Helper()
	button, form := p.button(label)
	if form == nil {
		t.Fatalf("%s (%d) has no button %q but: %s", p.URL.Path, p.Status, label, p.Text())
	}
	method, action, values := p.submission(button, form, fill)
	target, err := p.URL.Parse(action)
	if err != nil {
		t.Fatal(err)
	}
	if method != http.MethodPost {
		target.RawQuery = values.Encode()
		return b.visit(t, http.MethodGet, target, nil, "same-origin")
	}
	return b.visit(t, method, target, values, "same-origin")
}

// Click follows the link labelled so.
func (b *Browser) Click(t testing.TB, p *Page, label string) *Page {
	t.Helper()
	target, err := p.URL.Parse(p.Link(label))
	if err != nil || p.Link(label) == "" {
		t.Fatalf("%s (%d) has no link %q but: %s", p.URL.Path, p.Status, label, p.Text())
	}
	return b.visit(t, http.MethodGet, target, nil, "same-origin")
}

// Submit sends the form of a page that, or a button of which, goes to the path,
// after filling in fields by name.
func (b *Browser) Submit(t testing.TB, p *Page, path string, fill url.Values) *Page {
	t.Helper()
	button, form := p.formTo(path)
	if form == nil {
		t.Fatalf("%s (%d) has no form for %s but: %s", p.URL.Path, p.Status, path, p.Text())
	}
	_, _, values := p.submission(button, form, fill)
	target, err := p.URL.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	return b.visit(t, http.MethodPost, target, values, "same-origin")
}

// Post sends a form to an address, as a page of its site does.
func (b *Browser) Post(t testing.TB, address string, form url.Values) *Page {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return b.visit(t, http.MethodPost, u, form, "same-origin")
}

// Follow goes where a page sent the browser, to another site.
func (b *Browser) Follow(t testing.TB, p *Page) *Page {
	t.Helper()
	if p.Leaving == nil {
		t.Fatalf("%s (%d) leads nowhere but shows: %s", p.URL.Path, p.Status, p.Text())
	}
	return b.visit(t, http.MethodGet, p.Leaving, nil, "cross-site")
}

// visit requests a page and follows redirects as long as they stay on the
// site.
func (b *Browser) visit(t testing.TB, method string, u *url.URL, form url.Values, from string) *Page {
	t.Helper()
	for range 10 {
		var body io.Reader
		if form != nil {
			body = strings.NewReader(form.Encode())
		}
		req, err := http.NewRequestWithContext(t.Context(), method, u.String(), body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		req.Header.Set("Sec-Fetch-Mode", "navigate")
		req.Header.Set("Sec-Fetch-Dest", "document")
		req.Header.Set("Sec-Fetch-Site", from)
		if form != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", u.Scheme+"://"+u.Host)
		}
		page := b.load(t, req)
		if page.Leaving == nil {
			return page
		}
		if page.Leaving.Host != u.Host || page.Leaving.Scheme != u.Scheme {
			if b.Follows == nil || !b.Follows(page.Leaving) {
				return page
			}
			from = "cross-site"
		}
		if page.Status == http.StatusTemporaryRedirect || page.Status == http.StatusPermanentRedirect {
			t.Fatalf("%s redirects with %d, which repeats the form's values", u.Path, page.Status)
		}
		method, u, form = http.MethodGet, page.Leaving, nil
	}
	t.Fatalf("redirected ten times, last to %s", u)
	return nil
}

func (b *Browser) load(t testing.TB, req *http.Request) *Page {
	t.Helper()
	resp, err := b.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	page := ReadPage(t, req.URL, string(body))
	page.Status, page.Header = resp.StatusCode, resp.Header
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		if page.Leaving, err = resp.Location(); err != nil {
			t.Fatal(err)
		}
	}
	return page
}

// Deliver follows the redirect a page left the site with, to the client that
// waits for it.
func (b *Browser) Deliver(t testing.TB, p *Page) {
	t.Helper()
	if p.Leaving == nil {
		t.Fatalf("%s (%d) does not return to the client but shows: %s", p.URL.Path, p.Status, p.Text())
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Leaving.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	client := *b.Client
	client.Timeout = 10 * time.Second
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("the client does not take the answer: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("the client answers %s: %s", resp.Status, body)
	}
}
