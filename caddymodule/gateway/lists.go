package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp/lists"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// heldAnswer is how much of an answer, other than an event stream, is held before any
// of it is passed on: one that cannot be read up to there is answered for as a whole.
// A longer one is cut off where it cannot be read.
const heldAnswer = 1 << 20

// listPolicy keeps of a list what the caller of a call may use.
type listPolicy struct {
	call   *Call
	req    *http.Request
	who    access.Who
	viewer pins.Viewer
	now    time.Time
	last   *catalog.Entry // that was listed, if it is known
}

// Keep implements lists.Policy.
func (p *listPolicy) Keep(kind access.Kind, name []byte, said access.Annotations, definition []byte) bool {
	offers := p.call.server.Offers
	known, e := offers.Note(kind, name, said, definition)
	if e != nil {
		offers.Follows(kind, p.before(kind), e)
		p.last = e
	}
	p.says(kind, known, said)
	return p.keeps(access.Item{Kind: kind, Name: known, Annotations: said, Open: true}, definition)
}

// Known implements lists.Policy.
func (p *listPolicy) Known(kind access.Kind, text []byte) (size int, keep bool) {
	offers := p.call.server.Offers
	e := offers.Guess(kind, p.before(kind))
	if e == nil {
		return 0, false
	}
	definition := offers.Begins(e, text)
	if definition == nil {
		return 0, false
	}
	p.last = e
	p.says(kind, e.Name, e.Annotations)
	return len(definition), p.keeps(access.Item{Kind: kind, Name: e.Name, Annotations: e.Annotations, Open: true}, definition)
}

// says takes note of what the server says of a tool to this caller, if it may say
// something else to others.
func (p *listPolicy) says(kind access.Kind, name string, said access.Annotations) {
	if kind == access.Tool && p.viewer.View != "" {
		p.call.server.Offers.NoteFor(p.viewer.View, name, said)
	}
}

// before returns what was listed last, if it is of the kind.
func (p *listPolicy) before(kind access.Kind) *catalog.Entry {
	if p.last == nil || p.last.Kind != kind {
		return nil
	}
	return p.last
}

// keeps reports whether an item stays.
func (p *listPolicy) keeps(item access.Item, definition []byte) bool {
	keep := p.call.server.Rules.Decide(p.who, item).Allowed
	if item.Kind == access.Tool && p.call.server.Pinned != nil && !p.judge(item.Name, definition) {
		return false
	}
	return keep
}

// Nothing implements lists.Policy.
func (p *listPolicy) Nothing(kind access.Kind) bool { return p.call.server.Rules.Nothing(p.who, kind) }

// Next implements lists.Policy.
func (p *listPolicy) Next(cursor []byte) {
	if asked := p.call.judged.listing; asked != nil {
		asked.next = cursor
	}
}

// Listed implements lists.Policy.
func (p *listPolicy) Listed(kind access.Kind, last bool) {
	if last {
		p.call.server.Offers.Ended(kind)
	}
	if kind == access.Tool && p.call.server.Pinned != nil {
		p.listed(last)
	}
}

// who is how access rules see the caller.
func (c *Call) who() access.Who {
	who := c.server.Site.Who(&c.caller.Identity, c.caller.ClientID)
	who.Chosen = c.chosen
	return who
}

// withoutForbidden leaves of an upstream's answer what the caller may use, if there is
// anything that they may not.
func (c *Call) withoutForbidden(req *http.Request, res *http.Response) *http.Response {
	if !c.reads() || res.ContentLength == 0 {
		return res
	}
	h := res.Header
	if res.StatusCode == http.StatusPartialContent || isEncoded(h) {
		return c.unreadable(req, res, "encoded_answer", nil)
	}
	events := mayBeEvents(h)
	body := lists.NewBody(res.Body, &listPolicy{
		call: c, req: req, who: c.who(), viewer: c.server.viewer(c.caller), now: time.Now(),
	}, events)
	whole := int64(-1)
	if !events {
		body.Expect(res.ContentLength)
		var err error
		if whole, err = body.Begin(heldAnswer); err != nil {
			return c.unreadable(req, res, "unreadable_answer", err)
		}
	}
	for _, name := range aboutBytes {
		delete(h, name)
	}
	if whole >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(whole, 10)}
	}
	res.ContentLength, res.Body = whole, body
	return res
}

// aboutBytes are headers that say something of the very bytes of a body.
var aboutBytes = []string{"Content-Length", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5", "Etag"}

// unreadable replaces an upstream's answer that may have in it what the caller must not
// see.
func (c *Call) unreadable(req *http.Request, res *http.Response, reason string, err error) *http.Response {
	id := c.server.refer(req, c, event.Event{
		Kind: event.ServerFailed, Reason: reason, Status: res.StatusCode, Err: err,
		Detail: "Not all of the MCP server may be used by the caller, and this answer of it cannot be read; it was not passed on.",
	})
	return replace(res, func(w http.ResponseWriter) {
		mcp.WriteErrorTo(w, c.request.parsed(), http.StatusBadGateway, "The answer of the MCP server cannot be read.", id)
	})
}

const (
	// askTimeout bounds how long a call waits until its server has listed its tools.
	askTimeout = 10 * time.Second
	// maxPages bounds how many pages of a list are asked for.
	maxPages = 100
)

// listing is a request that the gateway itself makes, as the caller of a call.
type listing struct {
	status int
	next   []byte // the cursor of the next page, in JSON
}

// Header implements http.ResponseWriter. Nobody reads it.
func (a *listing) Header() http.Header { return http.Header{} }

// WriteHeader implements http.ResponseWriter.
func (a *listing) WriteHeader(status int) { a.status = status }

// FlushError is what http.ResponseController looks for.
func (*listing) FlushError() error { return nil }

// Write implements http.ResponseWriter. What the answer says was noted already.
func (a *listing) Write(p []byte) (int, error) { return len(p), nil }

// askForTools asks for the list of tools in the caller's session, with their account,
// in the revision that the caller speaks (CL-24).
func askForTools(c *Call, ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	as := &Call{server: c.server, caller: c.caller, chosen: c.chosen, session: c.session}
	epoch := ""
	if c.server.Auth != nil {
		as.account.credential, err = c.server.Site.Accounts.Credential(ctx, c.caller.Identity.Subject, c.server.ID)
		if err != nil {
			return err
		}
		epoch = as.account.credential.Epoch
	}
	if !c.isInSessionOf(epoch) {
		return errOtherAccount
	}
	if c.server.IdentityJWT != "" {
		if as.statement, err = c.server.Site.Statements.Values(ctx, c.caller, c.server.Server); err != nil {
			return err
		}
	}
	var cursor json.RawMessage
	for range maxPages {
		page := &listing{}
		if err := c.ask(ctx, as, page, listRequest(c.request.header.Get(mcp.HeaderProtocolVersion), cursor)); err != nil || page.next == nil || bytes.Equal(page.next, cursor) {
			return err
		}
		cursor = page.next
	}
	return nil
}

// ask makes one request as the caller.
func (c *Call) ask(ctx context.Context, as *Call, page *listing, body []byte) (err error) {
	as.client, as.judged = page, &judged{listing: page}
	header := maps.Clone(c.request.header)
	maps.DeleteFunc(header, func(name string, _ []string) bool {
		return strings.HasPrefix(name, "Mcp-Param-") || name == "Mcp-Name" || name == "Last-Event-Id" || name == "Content-Length"
	})
	header["Content-Type"] = []string{"application/json"}
	header["Accept"] = []string{mcp.Accept}
	if !mcp.HasSessions(c.request.header.Get(mcp.HeaderProtocolVersion)) {
		header["Mcp-Method"] = []string{"tools/list"}
	}
	// What Caddy notes of a request on its way is not of the one that is answered.
	vars, _ := ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	request := c.judged.request.WithContext(context.WithValue(ctx, caddyhttp.VarsCtxKey, maps.Clone(vars)))
	request.Method, request.Header, request.TransferEncoding, request.Trailer = http.MethodPost, header, nil, nil
	request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	as.request.header = header
	defer func() { // what a proxy does when an answer breaks off
		switch broken := recover(); broken {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			panic(broken)
		}
	}()
	if err := c.server.Forward.Forward(as, page, request, caddyhttp.HandlerFunc(nothing)); err != nil {
		return err
	}
	if page.status != http.StatusOK {
		return fmt.Errorf("answered with status %d", page.status)
	}
	return nil
}

func nothing(http.ResponseWriter, *http.Request) error { return nil }

// listRequest returns a request for a page of the list of tools.
func listRequest(revision string, cursor json.RawMessage) []byte {
	params := map[string]any{}
	if cursor != nil {
		params["cursor"] = cursor
	}
	if !mcp.HasSessions(revision) {
		params["_meta"] = map[string]any{
			"io.modelcontextprotocol/protocolVersion":    revision,
			"io.modelcontextprotocol/clientCapabilities": struct{}{},
			"io.modelcontextprotocol/clientInfo":         map[string]string{"name": "caddy-mcp-oauth", "version": "1"},
		}
	}
	body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": "caddy-mcp-oauth-list", "method": "tools/list", "params": params}) // parts that marshal
	return body
}
