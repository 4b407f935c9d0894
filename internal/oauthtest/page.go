package oauthtest

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Page is what the browser shows.
type Page struct {
	URL    *url.URL
	Status int
	Header http.Header
	Body   string
	// Leaving is where the page sends the browser, off the site; nil if the
	// browser stays.
	Leaving *url.URL

	root *html.Node
}

// ReadPage returns the page that was found at an address.
func ReadPage(t testing.TB, at *url.URL, body string) *Page {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatalf("page at %s: %v", at, err)
	}
	return &Page{URL: at, Status: http.StatusOK, Body: body, root: root}
}

// Hidden returns the hidden fields of the first form that, or a button of which,
// goes to the path, or nil if there is none.
func (p *Page) Hidden(path string) url.Values {
	_, form := p.formTo(path)
	if form == nil {
		return nil
	}
	values := url.Values{}
	for n := range form.Descendants() {
		if n.Type == html.ElementNode && n.Data == "input" && attr(n, "type") == "hidden" {
			values.Add(attr(n, "name"), attr(n, "value"))
		}
	}
	return values
}

// formTo finds the first form that goes to the path, and its button that does.
func (p *Page) formTo(path string) (button, form *html.Node) {
	for n := range p.nodes() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		for b := range n.Descendants() {
			if b.Type == html.ElementNode && b.Data == "button" && cmp.Or(attr(b, "formaction"), attr(n, "action")) == path {
				return b, n
			}
		}
		if attr(n, "action") == path {
			return nil, n
		}
	}
	return nil, nil
}

// Text returns what a person reads on the page, with single spaces.
func (p *Page) Text() string {
	var b strings.Builder
	for n := range p.nodes() {
		if n.Type == html.TextNode && n.Parent.Data != "style" && n.Parent.Data != "script" {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// MustShow fails the test unless the page shows each text.
func (p *Page) MustShow(t testing.TB, texts ...string) {
	t.Helper()
	shown := p.Text()
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			t.Fatalf("%s (%d) does not show %q but: %s", p.URL.Path, p.Status, text, shown)
		}
	}
}

// HasButton reports whether the page has a button with that label.
func (p *Page) HasButton(label string) bool {
	button, _ := p.button(label)
	return button != nil
}

// Link returns where the link with that label leads, or "".
func (p *Page) Link(label string) string {
	for n := range p.nodes() {
		if n.Type == html.ElementNode && n.Data == "a" && textOf(n) == label {
			return attr(n, "href")
		}
	}
	return ""
}

// button finds the button with that label, and its form.
func (p *Page) button(label string) (button, form *html.Node) {
	for n := range p.nodes() {
		if n.Type != html.ElementNode || n.Data != "button" {
			continue
		}
		if textOf(n) == label {
			return n, ancestor(n, "form")
		}
	}
	return nil, nil
}

// submission returns what a click on button sends: the method, the target and
// the values of the form after filling in what is named.
func (p *Page) submission(button, form *html.Node, fill url.Values) (method, action string, values url.Values) {
	values = url.Values{}
	for n := range p.nodes() {
		if n.Type != html.ElementNode || ancestor(n, "form") != form {
			continue
		}
		name := attr(n, "name")
		if name == "" || has(n, "disabled") {
			continue
		}
		switch kind := attr(n, "type"); {
		case n.Data == "input" && slices.Contains([]string{"checkbox", "radio"}, kind):
			if has(n, "checked") && !fill.Has(name) {
				values.Add(name, attr(n, "value"))
			}
		case n.Data == "input":
			if !fill.Has(name) {
				values.Add(name, attr(n, "value"))
			}
		case n.Data == "select":
			if !fill.Has(name) {
				values.Add(name, selected(n))
			}
		case n == button:
			values.Add(name, attr(n, "value"))
		}
	}
	for name, all := range fill {
		values[name] = all
	}
	action = attr(form, "action")
	if button != nil {
		action = cmp.Or(attr(button, "formaction"), action)
	}
	return strings.ToUpper(attr(form, "method")), action, values
}

// selected returns the value of the option that is chosen, which is the first if none
// says so.
func selected(list *html.Node) (value string) {
	first := true
	for n := range list.Descendants() {
		if n.Type == html.ElementNode && n.Data == "option" && (first || has(n, "selected")) {
			first, value = false, attr(n, "value")
		}
	}
	return value
}

func (p *Page) nodes() func(func(*html.Node) bool) {
	return p.root.Descendants()
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func ancestor(n *html.Node, tag string) *html.Node {
	for a := range n.Ancestors() {
		if a.Data == tag {
			return a
		}
	}
	return nil
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}
