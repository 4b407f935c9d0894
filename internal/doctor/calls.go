package doctor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

const callsStep = "calls"

// message is a JSON-RPC response.
type message struct {
	Result json.RawMessage `json:"result"`
	Error  *rpcError       `json:"error"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (a *answer) message() *message {
	body := a.body
	if egress.MediaType(a.header) == mcp.EventStream {
		body = eventData(body)
	}
	var m message
	if a.err != nil || json.Unmarshal(body, &m) != nil {
		return nil
	}
	return &m
}

// result returns the result of a JSON-RPC response, or nil.
func (a *answer) result() json.RawMessage {
	if m := a.message(); m != nil && m.Error == nil {
		return m.Result
	}
	return nil
}

func (a *answer) rpcError() *rpcError {
	if m := a.message(); m != nil {
		return m.Error
	}
	return nil
}

// call is a POST with a JSON-RPC message.
func (x *examination) call(token, body string, headers map[string]string) request {
	h := map[string]string{"Content-Type": "application/json", "Accept": mcp.Accept}
	for name, value := range headers {
		if value != "" {
			h[name] = value
		}
	}
	if token != "" {
		h["Authorization"] = "Bearer " + token
	}
	return request{method: http.MethodPost, url: x.url, body: body, header: h}
}

// initialize opens a session in the revisions that have some.
func (x *examination) initialize(f family, token string) request {
	revision := f.revision
	if !mcp.HasSessions(revision) {
		revision = mcp.November2025
	}
	return x.call(token, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"`+revision+
		`","capabilities":{},"clientInfo":{"name":"mcp-examination","version":"1"}}}`, map[string]string{"Origin": f.origin})
}

const statelessMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"` + mcp.Stateless +
	`","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"mcp-examination","version":"1"}}`

// stateless is a request of the revisions without sessions.
func (x *examination) stateless(token, method, headerMethod string) request {
	return x.call(token, `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+statelessMeta+`}}`,
		map[string]string{mcp.HeaderProtocolVersion: mcp.Stateless, "Mcp-Method": headerMethod})
}

func (x *examination) discover(token string) request {
	return x.stateless(token, "server/discover", "server/discover")
}

// supports reports whether the answer to server/discover lists a revision. One
// that lists none at all is taken at its word.
func supports(a *answer, revision string) bool {
	var result struct {
		SupportedVersions []string `json:"supportedVersions"`
	}
	if !a.is2xx() || a.result() == nil || json.Unmarshal(a.result(), &result) != nil {
		return false
	}
	return len(result.SupportedVersions) == 0 || slices.Contains(result.SupportedVersions, revision)
}

// list asks for the tools, in the family's revision.
func (p *player) list(token string) *answer {
	if !mcp.HasSessions(p.f.revision) {
		return p.wire.do(p.ctx, p.stateless(token, "tools/list", "tools/list"))
	}
	opened := p.wire.do(p.ctx, p.initialize(p.f, token))
	h := p.headers(map[string]string{mcp.HeaderSessionID: opened.header.Get(mcp.HeaderSessionID), mcp.HeaderProtocolVersion: negotiated(opened)})
	p.wire.do(p.ctx, p.call(token, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, h))
	return p.wire.do(p.ctx, p.call(token, `{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}`, h))
}

// negotiated returns the revision that a server agreed to, if clients send it.
func negotiated(opened *answer) string {
	var result struct {
		ProtocolVersion string `json:"protocolVersion"`
	}
	if json.Unmarshal(opened.result(), &result) != nil || result.ProtocolVersion < mcp.June2025 || !oauth.VisibleASCII(result.ProtocolVersion) {
		return ""
	}
	return result.ProtocolVersion
}

// calls makes the calls with which a client begins.
func (p *player) calls(token string) bool {
	a := p.ask(token)
	switch {
	case a.silent():
		return p.noAnswer(callsStep, a)
	case token != "" && (a.status == 401 || a.status == 403):
		return p.stop(callsStep, tokenRefused, p.url, a.describe(), a)
	case a.result() == nil:
		return p.stop(callsStep, initializeFailed, p.url, a.describe(), a)
	}
	if id := a.header.Get(mcp.HeaderSessionID); id != "" {
		if !oauth.VisibleASCII(id) {
			return p.stop(callsStep, badSessionID, p.url, fmt.Sprintf("%q", id), a)
		}
		if p.f.origin != "" && !exposes(a, mcp.HeaderSessionID) {
			return p.stop(callsStep, headerHidden, p.url, mcp.HeaderSessionID, a)
		}
	}
	if !p.readable(callsStep, a) {
		return false
	}
	p.identify(a)
	list := p.list(token)
	var tools struct {
		Tools []json.RawMessage `json:"tools"`
	}
	if list.result() == nil || json.Unmarshal(list.result(), &tools) != nil {
		return p.stop(callsStep, listFailed, p.url, list.describe(), list)
	}
	p.report.Server.Tools = len(tools.Tools)
	p.did(callsStep, fmt.Sprintf("revision %s, %d tools", p.spoken(a), len(tools.Tools)))
	p.reached = Connected
	return true
}

// spoken returns the revision that client and server agreed to.
func (p *player) spoken(a *answer) string {
	if !mcp.HasSessions(p.f.revision) {
		return p.f.revision
	}
	var result struct {
		ProtocolVersion string `json:"protocolVersion"`
	}
	_ = json.Unmarshal(a.result(), &result)
	return said(result.ProtocolVersion)
}

// identify remembers what the server says of itself.
func (p *player) identify(a *answer) {
	var result struct {
		ServerInfo struct{ Name, Version string }
		Meta       struct {
			ServerInfo struct{ Name, Version string } `json:"io.modelcontextprotocol/serverInfo"`
		} `json:"_meta"`
	}
	_ = json.Unmarshal(a.result(), &result)
	info := result.ServerInfo
	if info.Name == "" {
		info = result.Meta.ServerInfo
	}
	if p.report.Server == nil {
		p.report.Server = &Server{Revisions: []string{}}
	}
	s := p.report.Server
	if info.Name != "" {
		s.Name, s.Version = said(info.Name), said(info.Version)
	}
	if revision := p.spoken(a); !slices.Contains(s.Revisions, revision) {
		s.Revisions = append(s.Revisions, revision)
		slices.Sort(s.Revisions)
	}
}
