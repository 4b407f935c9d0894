package oauthtest

import (
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
		case n == button:
			values.Add(name, attr(n, "value"))
		}
	}
	for name, all := range fill {
		values[name] = all
	}
	action = attr(form, "action")
	if a := attr(button, "formaction"); a != "" {
		action = a
	}
	return strings.ToUpper(attr(form, "method")), action, values
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
