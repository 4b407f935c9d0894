package consent

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// connector connects accounts: it sends people to providers, or asks them for
// keys, and sends them back to the page they left from.
type connector struct {
	*web
	*describer
	limits  *ratelimit.Attempts
	broker  broker
	cookies stateCookies
	// linkUsed is told the ticket of each link with which somebody connected a
	// server; nil if nobody waits for that.
	linkUsed func(ticket string)
}

// start sends a person who agreed on our page to the provider, or to the page
// where they paste a key.
//
// Only now the browser gets the cookie that the provider's answer must come
// with: each request has its own, so that nobody can finish one that was begun
// elsewhere, or before the person agreed.
func (p *connector) start(w http.ResponseWriter, r *http.Request, c connectRequest) error {
	c.learn(r)
	if c.problem != "" {
		return p.failed(w, r, c.returnTo, &client.Error{Problem: c.problem})
	}
	if c.server.Auth.Mode == config.PerUserHeaders {
		p.pages.Redirect(w, c.keyPage)
		return nil
	}
	if !p.limits.AllowConnect(r, c.who) {
		return tooMany(p.pages.Text().TooManyConnects).backTo(c.returnTo)
	}
	secret := newStateSecret()
	if m := p.cfg.SignIn.Of(c.authentication.Identity.Kind); m != nil && m.Current != nil {
		secret = string(m.Kind) + "." + secret // see callback
	}
	target, err := p.broker.Start(r.Context(), accounts.ConnectRequest{
		Server: c.server.ID, Owner: c.owner, Browser: storage.HashOf(secret),
		ReturnTo: c.returnTo, Scopes: c.scopes, KeepUntil: c.keepUntil, Authentication: c.authentication, SingleUse: c.once, LastDisconnect: c.lastDisconnect,
	})
	if err != nil {
		return p.failed(w, r, c.returnTo, err)
	}
	provider, err := url.Parse(target)
	if err != nil {
		return err
	}
	p.cookies.set(w, provider.Query().Get("state"), secret)
	p.pages.Redirect(w, target)
	return nil
}

// finished sends a person who connected a server back to the page that they
// left from. If that was the page of a link, whoever gave them the link is told.
func (p *connector) finished(w http.ResponseWriter, r *http.Request, returnTo string) {
	path, _, _ := strings.Cut(returnTo, "?")
	if ticket, ok := strings.CutPrefix(path, server.ConnectPath); ok {
		p.events.Record(r.Context(), event.Event{Kind: event.LinkUsed})
		p.notifyLinkUsed(ticket)
	}
	p.pages.Redirect(w, returnTo)
}

// notifyLinkUsed tells whoever gave a person a link that what it is for is
// connected.
func (p *connector) notifyLinkUsed(ticket string) {
	if p.linkUsed != nil {
		p.linkUsed(ticket)
	}
}

// failed shows the page that the person left from with what went wrong, if it
// is known where they came from.
func (p *connector) failed(w http.ResponseWriter, r *http.Request, returnTo string, err error) error {
	var problem *client.Error
	if !errors.As(err, &problem) {
		return explain(p.pages.Text(), err).backTo(returnTo)
	}
	if returnTo == "" {
		return err
	}
	refused := event.Event{Kind: event.ConnectionRefused, Reason: string(problem.Problem), Err: problem.Cause}
	if problem.Problem.NeedsOperator() || problem.Problem == client.ProviderDown {
		refused.Kind = event.ConnectionFailed
	}
	id := p.events.Refer(r.Context(), refused)
	p.pages.Redirect(w, withProblem(returnTo, problem.Problem, id))
	return nil
}

// withProblem returns a path of ours with what went wrong.
func withProblem(path string, p client.Problem, reference string) string {
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return path + separator + url.Values{"error": {string(p)}, "ref": {reference}}.Encode()
}

// keyForm is what the form for keys carries along.
type keyForm struct {
	fields
	IdentityDigest string
	Client         *clientView // who asks, in a flow
	Picked         picked
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
	n, wrong := p.notice(r), (*notice)(nil)
	frame := p.pages.Frame(fmt.Sprintf(t.KeyPageTitle, titleOf(c.server)))
	frame.HasProblem = n.Text != ""
	if n.Text != "" && r.URL.Query().Get("error") == string(accounts.WrongKey) {
		wrong = new(notice)
		*wrong, n = n, notice{}
	}
	return p.pages.Render(w, http.StatusOK, "key", struct {
		pages.Frame
		keyForm
		Server, Address, BackURL string
		Inputs                   []keyInput
		Notice                   notice
		Wrong                    *notice // stands at the inputs
	}{
		Frame:   frame,
		keyForm: form,
		Server:  c.server.ID,
		Address: address(c.server.Resource),
		BackURL: c.returnTo,
		Inputs:  inputs,
		Notice:  n,
		Wrong:   wrong,
	})
}

// saveKeys connects a server with the keys a person pasted.
func (p *connector) saveKeys(w http.ResponseWriter, r *http.Request, c connectRequest) error {
	if c.server.Auth.Mode != config.PerUserHeaders {
		return notHere(p.pages.Text())
	}
	c.learn(r)
	if !p.limits.AllowPastedKey(r, c.who) {
		return tooMany(p.pages.Text().TooManyWrong).backTo(c.keyPage)
	}
	values := make(map[string]string, len(c.server.Auth.Headers))
	for i, h := range c.server.Auth.Headers {
		values[h.Name] = r.PostForm.Get(keyField(i))
	}
	request := accounts.ConnectRequest{
		Server: c.server.ID, Owner: c.owner, KeepUntil: c.keepUntil, Authentication: c.authentication, SingleUse: c.once, LastDisconnect: c.lastDisconnect,
	}
	if err := p.broker.ConnectHeaders(r.Context(), request, values); err != nil {
		return p.failed(w, r, c.keyPage, err)
	}
	p.finished(w, r, c.returnTo)
	return nil
}

func keyField(i int) string { return "key-" + strconv.Itoa(i) }
