package doctor

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// nowhere is an address that exists nowhere (RFC 6761 section 6.4).
const nowhere = "https://examination.invalid/callback"

// probe asks what no client asks, but what the standards have an answer for.
type probe struct {
	*examination
	ctx context.Context
	// token is one with which calls were answered, if one is needed.
	token string
}

// noFamily is the client that a probe plays: none of those that are known.
var noFamily = family{revision: mcp.November2025}

func (x *examination) beyond(ctx context.Context) {
	p := &probe{examination: x, ctx: ctx}
	p.legacy()
	if x.signsIn {
		p.tokens()
	}
	p.providers()
	token, authorized := x.authorized()
	if authorized {
		p.token = token
		p.transport()
	}
}

// authorized returns a token with which calls were answered, if one is needed.
func (x *examination) authorized() (token string, ok bool) {
	if !slices.ContainsFunc(x.report.Clients, func(c ClientReport) bool { return c.Reached == Connected }) {
		return "", false
	}
	if !x.signsIn {
		return "", true
	}
	if x.o.Token != "" {
		return x.o.Token, true
	}
	for _, t := range x.issued {
		return t.access, true
	}
	return "", false
}

// stream asks for an event stream.
func (x *examination) stream(token string) request {
	h := map[string]string{"Accept": mcp.EventStream}
	if token != "" {
		h["Authorization"] = "Bearer " + token
	}
	return request{method: http.MethodGet, url: x.url, header: h, stream: true}
}

// offersSSE reports whether an answer is that of the HTTP+SSE transport, which
// begins with the event that names the address for messages.
func offersSSE(a *answer) bool { return sseEndpoint(a) != "" }

func sseEndpoint(a *answer) string {
	if !a.is2xx() || egress.MediaType(a.header) != mcp.EventStream {
		return ""
	}
	if !bytes.Contains(a.body, []byte("event: endpoint")) && !bytes.Contains(a.body, []byte("event:endpoint")) {
		return ""
	}
	return string(eventData(a.body))
}

// legacy plays the deprecated HTTP+SSE transport.
func (p *probe) legacy() {
	c := ClientReport{ID: legacyID, Title: legacyTitle, Like: "clients of 2024", Reached: NotOffered}
	a := p.wire.do(p.ctx, p.stream(p.o.Token))
	step := Step{Name: "stream", Text: "the deprecated transport is not offered, and need not be: " + said(a.describe())}
	if endpoint := sseEndpoint(a); endpoint != "" {
		c.Reached, step = Connected, Step{Name: "stream", OK: true, Text: "offers it, messages go to " + shown(endpoint)}
		at, err := p.target.Parse(endpoint)
		if err != nil || origin(at) != p.target.origin() {
			p.find(legacyEndpoint, p.url, "endpoint "+shown(endpoint), a, legacyID)
			c.Reached, step.OK = Stopped, false
		}
	} else if a.status == 401 {
		step.Text = "asks for a token as well"
	}
	c.Steps = []Step{step}
	p.report.Clients = append(p.report.Clients, c)
}

// tokens asks with tokens that cannot be good, and without one for a stream.
func (p *probe) tokens() {
	if a := p.wire.do(p.ctx, p.stream("")); a.is2xx() && egress.MediaType(a.header) == mcp.EventStream {
		p.find(streamOpen, p.url, "GET: "+a.describe(), a)
	}
	a := p.wire.do(p.ctx, p.initialize(noFamily, madeUp))
	switch {
	case a.silent():
	case a.is2xx() && a.result() != nil && p.isOpen():
	case a.is2xx() && a.result() != nil:
		p.find(badTokenAccepted, p.url, a.describe(), a)
	case a.status != 401:
		p.find(badTokenStatus, p.url, a.describe(), a)
	case hasBearer(a) && !strings.Contains(a.header.Get("WWW-Authenticate"), "invalid_token"):
		p.find(badTokenError, p.url, "WWW-Authenticate: "+named(a.header.Get("WWW-Authenticate")), a)
	}
}

// isOpen reports whether the same request is answered without any token.
func (p *probe) isOpen() bool { return p.wire.do(p.ctx, p.initialize(noFamily, "")).result() != nil }

// providers asks the authorization servers at which clients signed in.
func (p *probe) providers() {
	seen := map[string]bool{}
	for _, c := range p.used {
		if !seen[c.issuer] {
			p.redirects(c)
		}
		seen[c.issuer] = true
	}
}

// redirects asks for redirects that must not happen, and for a code without PKCE.
func (p *probe) redirects(c *client) {
	at := &signIn{player: &player{examination: p.examination, ctx: p.ctx, f: noFamily}, provider: c.as, client: c, resource: protected{identifier: p.url}}
	params := at.request()
	for _, other := range []struct{ who, id string }{{"a client that does not exist", "made-up-client"}, {"a client that did not register it", c.id}} {
		request := with(with(params, "redirect_uri", nowhere), "client_id", other.id)
		if e := at.browse(request); e.response != nil {
			p.find(openRedirector, c.as.AuthorizationEndpoint, "redirects to "+nowhere+" for "+other.who, e.last)
			return
		}
	}
	e := at.browse(without(without(params, "code_challenge"), "code_challenge_method"))
	if e.response == nil {
		return
	}
	if e.code() != "" {
		p.wire.secrets = append(p.wire.secrets, e.code())
		p.find(pkceNotRequired, c.as.AuthorizationEndpoint, "a code for a request without code_challenge", e.last)
		return
	}
	at.judgeResponse(e)
}

// transport asks what a server has to refuse even with a good token.
func (p *probe) transport() {
	if a := p.wire.do(p.ctx, p.initialize(family{revision: mcp.November2025, origin: "https://examination.invalid"}, p.token)); a.is2xx() && a.result() != nil {
		p.find(originIgnored, p.url, "Origin: https://examination.invalid is answered "+a.describe(), a)
	}
	opened := p.wire.do(p.ctx, p.initialize(noFamily, p.token))
	if session := opened.header.Get(mcp.HeaderSessionID); session != "" && opened.result() != nil {
		p.sessions(negotiated(opened), session)
	}
	if stateless := p.wire.do(p.ctx, p.stateless(p.token, "tools/list", "tools/list")); stateless.is2xx() && stateless.result() != nil {
		p.headersMatter()
	}
}

func (p *probe) sessions(version, session string) {
	ask := func(session, version string) *answer {
		return p.wire.do(p.ctx, p.call(p.token, `{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}`,
			map[string]string{mcp.HeaderSessionID: session, mcp.HeaderProtocolVersion: version}))
	}
	if a := ask("00000000-0000-4000-8000-000000000000", version); !a.silent() && a.status != 404 {
		p.find(sessionUnchecked, p.url, "made-up Mcp-Session-Id: "+a.describe(), a)
	}
	if version == "" {
		return
	}
	if a := ask(session, "1999-12-31"); !a.silent() && a.status != 400 {
		p.find(versionIgnored, p.url, "MCP-Protocol-Version: 1999-12-31 is answered "+a.describe(), a)
	}
}

// headersMatter asks a server of 2026-07-28 with headers that its body contradicts.
func (p *probe) headersMatter() {
	if a := p.wire.do(p.ctx, p.discover(p.token)); !a.silent() && a.result() == nil {
		p.find(discoverFailed, p.url, a.describe(), a)
	}
	if a := p.wire.do(p.ctx, p.stateless(p.token, "tools/list", "resources/list")); !a.silent() && a.status != 400 {
		p.find(headersIgnored, p.url, "Mcp-Method: resources/list with tools/list in the body is answered "+a.describe(), a)
	}
}

// leaveSessions ends the sessions that were opened.
func (x *examination) leaveSessions(ctx context.Context) {
	for _, a := range x.wire.all {
		id := a.header.Get(mcp.HeaderSessionID)
		if id == "" || a.request.method != http.MethodPost || !strings.Contains(a.request.body, `"initialize"`) {
			continue
		}
		x.wire.do(ctx, request{method: http.MethodDelete, url: x.url, header: map[string]string{
			mcp.HeaderSessionID: id, mcp.HeaderProtocolVersion: negotiated(a), "Authorization": a.request.header["Authorization"],
		}})
	}
}
