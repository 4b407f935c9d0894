package consent

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
)

// keyForm is what the form for keys carries along.
type keyForm struct {
	fields
	IdentityDigest string
	Client         *clientView // who asks, in a flow
	Chosen         string
}

// keyInput asks for the value of one header.
type keyInput struct{ Name, Label string }

// showKeyPage asks for the keys of a server. What is pasted goes to that
// server, to be tried, and into the vault; no page ever shows it again.
func (c *Consent) showKeyPage(w http.ResponseWriter, r *http.Request, g goal, form keyForm) error {
	if g.upstream.Mode != accounts.PerUserHeaders {
		return c.notHere()
	}
	t := c.pages.text
	inputs := make([]keyInput, len(g.upstream.Headers))
	for i, h := range g.upstream.Headers {
		inputs[i] = keyInput{Name: keyField(i), Label: cmp.Or(h.Label, h.Name)}
	}
	return c.pages.render(w, http.StatusOK, "key", struct {
		frame
		keyForm
		Server, Address, BackURL string
		Inputs                   []keyInput
		Notice                   notice
	}{
		frame:   c.pages.frame(fmt.Sprintf(t.KeyPageTitle, titleOf(g.server))),
		keyForm: form,
		Server:  g.server.ID,
		Address: address(g.server.Resource),
		BackURL: g.returnTo,
		Inputs:  inputs,
		Notice:  c.notice(r),
	})
}

// keepKeys connects a server with the keys a person pasted.
func (c *Consent) keepKeys(w http.ResponseWriter, r *http.Request, g goal) error {
	if g.upstream.Mode != accounts.PerUserHeaders {
		return c.notHere()
	}
	if !c.as.AllowPastedKey(r, g.who) {
		return refuse(http.StatusTooManyRequests, c.pages.text.TooManyKeys).backTo(g.keyPage)
	}
	values := make(map[string]string, len(g.upstream.Headers))
	for i, h := range g.upstream.Headers {
		values[h.Name] = r.PostForm.Get(keyField(i))
	}
	if err := c.broker.ConnectHeaders(r.Context(), g.owner, g.server.ID, values, g.keepUntil, g.authentication); err != nil {
		return c.comeBack(w, g.keyPage, err)
	}
	c.arrive(w, g.returnTo)
	return nil
}

func keyField(i int) string { return "key-" + strconv.Itoa(i) }
