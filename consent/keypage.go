package consent

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"

	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// keyForm is what the form for keys carries alonc.
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
func (p *connector) showKeyPage(w http.ResponseWriter, r *http.Request, c connectRequest, form keyForm) error {
	if c.server.Auth.Mode != config.PerUserHeaders {
		return notHere(p.pages.Text())
	}
	t := p.pages.Text()
	inputs := make([]keyInput, len(c.server.Auth.Headers))
	for i, h := range c.server.Auth.Headers {
		inputs[i] = keyInput{Name: keyField(i), Label: cmp.Or(h.Label, h.Name)}
	}
	return p.pages.Render(w, http.StatusOK, "key", struct {
		pages.Frame
		keyForm
		Server, Address, BackURL string
		Inputs                   []keyInput
		Notice                   notice
	}{
		Frame:   p.pages.Frame(fmt.Sprintf(t.KeyPageTitle, titleOf(c.server))),
		keyForm: form,
		Server:  c.server.ID,
		Address: address(c.server.Resource),
		BackURL: c.returnTo,
		Inputs:  inputs,
		Notice:  p.notice(r),
	})
}

// saveKeys connects a server with the keys a person pasted.
func (p *connector) saveKeys(w http.ResponseWriter, r *http.Request, c connectRequest) error {
	if c.server.Auth.Mode != config.PerUserHeaders {
		return notHere(p.pages.Text())
	}
	if !p.limits.AllowPastedKey(r, c.who) {
		return tooMany(p.pages.Text().TooManyWrong).backTo(c.keyPage)
	}
	values := make(map[string]string, len(c.server.Auth.Headers))
	for i, h := range c.server.Auth.Headers {
		values[h.Name] = r.PostForm.Get(keyField(i))
	}
	if err := p.broker.ConnectHeaders(r.Context(), c.owner, c.server.ID, values, c.keepUntil, c.authentication); err != nil {
		return p.failed(w, c.keyPage, err)
	}
	p.finished(w, c.returnTo)
	return nil
}

func keyField(i int) string { return "key-" + strconv.Itoa(i) }
