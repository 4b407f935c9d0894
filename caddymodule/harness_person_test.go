package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// people returns the configuration of people with virtual keys.
func people(names ...string) string {
	lines := "identity virtual_key\nidentity anonymous\n"
	for _, name := range names {
		lines += fmt.Sprintf("virtual_key %s sha256:%x\n", name, storage.HashOf(keyOf(name)))
	}
	return lines
}

func keyOf(name string) string { return name + "-key-0123456789abcdef" }

// person is somebody with a browser, signed in to an account of the same name
// at the provider.
type person struct {
	g       *instance
	name    string
	account string
	address string // where they are; default: here
	agent   string // their browser, as its User-Agent says
	browser *oauthtest.Browser
}

func (g *instance) person(name string) *person {
	p := &person{g: g, name: name, account: name, browser: oauthtest.NewBrowser(g.t)}
	p.browser.Client.Transport = p
	p.browser.Follows = func(u *url.URL) bool { return u.Port() != "7777" } // the client's
	return p
}

// RoundTrip implements http.RoundTripper.
func (p *person) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(oauthtest.AccountHeader, p.account)
	if p.agent != "" {
		r.Header.Set("User-Agent", p.agent)
	}
	if p.address != "" {
		r.Header.Set("X-Forwarded-For", p.address)
	}
	return once.RoundTrip(r)
}

// visit goes to an address.
func (p *person) visit(address string) *oauthtest.Page {
	p.g.t.Helper()
	return p.browser.Open(p.g.t, address)
}

// post submits the form of a page with further values.
func (p *person) post(path, page string, values ...string) string {
	p.g.t.Helper()
	fill := url.Values{}
	for i := 0; i < len(values); i += 2 {
		fill.Set(values[i], values[i+1])
	}
	return p.g.page(p.browser.Submit(p.g.t, p.g.read(page), path, fill))
}

// connect signs in on the account page and connects the server there.
func (p *person) connect(server string) {
	p.g.t.Helper()
	page := p.accountPage()
	page = p.post("/oauth/account/connect", page, "server", server)
	if !strings.Contains(page, "Connected") {
		p.g.t.Fatalf("%s is not connected: %s", p.name, page)
	}
}

// accountPage returns the account page, signed in.
func (p *person) accountPage() string {
	p.g.t.Helper()
	page := p.g.page(p.visit(p.g.url + "/oauth/account"))
	if strings.Contains(page, `name="vk"`) {
		page = p.post("/oauth/account/vk", page, "vk", keyOf(p.name))
	}
	return page
}

// disconnect ends the connection on the account page.
func (p *person) disconnect(server string) {
	p.g.t.Helper()
	p.post("/oauth/account/disconnect", p.accountPage(), "server", server)
}

// call sends a request with the person's key.
func (p *person) call(body string, headers ...string) *http.Response {
	p.g.t.Helper()
	return p.g.call("POST", "/mcp", body, append([]string{"Authorization", "Bearer " + keyOf(p.name), "Content-Type", "application/json"}, headers...)...)
}

const toolCall = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami"}}`

// wantAccount makes a call and checks whose account it used.
func (p *person) wantAccount(want string) {
	p.g.t.Helper()
	if got := status(p.g.t, p.call(toolCall), http.StatusOK); !strings.Contains(got, `"account":"`+want+`"`) {
		p.g.t.Errorf("%s called as %s", p.name, got)
	}
}
