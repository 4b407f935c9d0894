package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// judges reports whether there may be anything that the caller may not use: by access
// rules of the server, as the person chose, or as it was not approved.
func (c *Call) judges() bool {
	return c.server.Rules != nil || c.chosen != nil || c.server.Pinned.holds()
}

// reads reports whether the server's lists are looked at.
func (c *Call) reads() bool { return c.judges() || c.server.Pinned != nil }

// checkAccess is the stage of the access. By the access rules of the server, what the
// person chose and what was approved, it decides whether the caller may use what the
// request is about. It reports whether the call goes on; else it answers. A body that is
// too large to be kept is decided while it is sent on.
func (c *Call) checkAccess(w http.ResponseWriter, r *http.Request) bool {
	if !c.reads() {
		return true
	}
	c.judged = &judged{request: r}
	switch {
	case c.server.Pinned != nil && !isReady(c, w, r):
		return false
	case !c.judges():
		return true
	}
	if reason, message := unreadable(r); reason != "" {
		c.rejectBody(w, r, http.StatusUnsupportedMediaType, reason, message, nil)
		return false
	}
	body := c.request.body.Bytes()
	switch {
	case r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0:
		return true
	case r.Method != http.MethodPost:
		c.rejectBody(w, r, http.StatusBadRequest, "body", "A request of this method has no body.", nil)
		return false
	case body == nil:
		seeTools(c, r.Context())
		r.Body = newJudgedBody(c, r)
		return true
	}
	messages, err := mcp.Scan(body)
	if err != nil {
		c.rejectBody(w, r, http.StatusBadRequest, "ambiguous", ambiguous, err)
		return false
	}
	for i := range messages {
		if refused := c.judge(r.Context(), &messages[i]); refused != nil {
			c.answerRefused(w, r, messages, &messages[i], refused)
			return false
		}
	}
	if missing := scopesMissing(c); missing != nil {
		c.answerRefused(w, r, messages, &messages[0], missing)
		return false
	}
	return true
}

const ambiguous = "The body could be read in several ways, or is no JSON-RPC."

// unreadable returns why the body of a request is not what is read here: the server
// may turn it into other characters than those that were judged.
func unreadable(r *http.Request) (reason, message string) {
	if coding := strings.Join(r.Header["Content-Encoding"], ","); coding != "" && !strings.EqualFold(coding, "identity") {
		return "encoded", "The body must not be compressed."
	}
	values := r.Header["Content-Type"]
	if len(values) == 0 || values[0] == "application/json" { // most of them
		return "", ""
	}
	_, parameters, err := mime.ParseMediaType(values[0])
	if charset, given := parameters["charset"]; err != nil || given && !strings.EqualFold(charset, "utf-8") {
		return "charset", "The body must be in UTF-8."
	}
	return "", ""
}

// errHeaders tells that the headers of a message do not say what it says.
var errHeaders = errors.New("mcp_oauth: the headers of the request do not say what its body says")

// refused is why a message does not go on.
type refused struct {
	item     mcp.Item
	decision access.Decision
	headers  bool // they do not say what the message says
	held     bool // the rules allow it, but it was not approved as it is
	// scopes are what it needs, and token or account lack.
	scopes access.Scopes
	// unconnected is why nobody can tell what the rules say: the server tells it to those
	// alone who have an account there.
	unconnected error
}

// Error implements error.
func (f *refused) Error() string {
	switch {
	case f.headers:
		return errHeaders.Error()
	case f.unconnected != nil:
		return f.unconnected.Error()
	case f.lacksScopes():
		return fmt.Sprintf("the scopes %q of the token and %q of the account are missing", f.scopes.Own, f.scopes.Provider)
	}
	return fmt.Sprintf("%s %q: %s", access.Kind(f.item.Kind), f.item.Name[:min(len(f.item.Name), maxWritten)], f.reason())
}

// reason returns what decided, in words.
func (f *refused) reason() string {
	if f.held {
		return pins.NotApproved
	}
	if f.decision.NotChosen {
		return "the person who signed in does not let this application use it"
	}
	if f.decision.Rule == nil {
		return "no rule allows it"
	}
	return "denied by the rule `" + f.decision.Rule.String() + "`"
}

// judge returns nil for a message that goes on.
func (c *Call) judge(ctx context.Context, m *mcp.Message) *refused {
	if !m.MatchesHeaders(c.request.header) {
		return &refused{headers: true}
	}
	for _, item := range m.Items {
		wanted := access.Item{Kind: access.Kind(item.Kind), Name: item.Name, Arguments: m.Arguments}
		if m.ArgumentsUnread {
			wanted.Arguments = access.Unread
		}
		d := c.decide(ctx, wanted)
		held := d.Allowed && holdsBack(c, ctx, wanted)
		switch {
		case (held || !d.Allowed) && c.judged.unconnected != nil:
			return &refused{unconnected: c.judged.unconnected}
		case held || !d.Allowed:
			return &refused{item: item, decision: d, held: held}
		}
	}
	return nil
}

// decide decides about an item, with what the server says of it where a rule asks.
func (c *Call) decide(ctx context.Context, item access.Item) access.Decision {
	who := c.who()
	d := c.server.Rules.Decide(who, item)
	if d.NeedsAnnotations {
		item.Annotations = c.annotations(ctx, item)
		d = c.server.Rules.Decide(who, item)
	}
	if d.Allowed {
		c.judged.add(item, c.server.Rules.Scopes(item.Kind, item.Name))
	}
	return d
}

// answerRefused answers in the server's place.
func (c *Call) answerRefused(w http.ResponseWriter, r *http.Request, messages []mcp.Message, m *mcp.Message, f *refused) {
	if f.headers {
		mcp.WriteHeaderMismatch(w, &mcp.Request{ID: m.ID}, c.server.refer(r, c, event.Event{
			Kind: event.CallRefused, Reason: "header_mismatch", Detail: "The headers of the request do not say what its body says.",
		}))
		return
	}
	if f.unconnected != nil {
		if c.findAccount(w, r) { // it was connected meanwhile
			newSignal(c, w, r).noCredential(f.unconnected)
		}
		return
	}
	if f.lacksScopes() {
		askForScopes(c, w, r, f.scopes)
		return
	}
	why := event.Event{Kind: event.CallRefused, Reason: "access_rule", Detail: "An access rule of the server does not allow it.", Err: f}
	if f.decision.NotChosen {
		why.Reason, why.Detail = "not_chosen", "The person does not let the application use it."
	}
	if f.held {
		why.Reason, why.Detail = "tool_not_approved", "The tool is held back, as pin_tools of the server says."
	}
	answer := mcp.Refusal{Item: f.item, CorrelationID: c.server.refer(r, c, why)}
	if c.server.Refusals == config.RefusalsExplain {
		answer.Reason = f.reason()
	}
	batch := bytes.HasPrefix(bytes.TrimLeft(c.request.body.Bytes(), " \t\r\n"), []byte("["))
	mcp.WriteRefusal(w, messages, m, batch, c.request.header.Get(mcp.HeaderProtocolVersion), answer)
}

// rejectBody answers for a body that cannot be judged.
func (c *Call) rejectBody(w http.ResponseWriter, r *http.Request, status int, reason, message string, err error) {
	mcp.WriteUnreadable(w, status, message, c.server.refer(r, c, event.Event{Kind: event.CallRefused, Reason: reason, Detail: message, Status: status, Err: err}))
}

// judgedBody is a body that is judged while it is sent on, as it is too large to be
// kept. What is refused of it never reaches the server whole: the request breaks off.
type judgedBody struct {
	io.ReadCloser
	call    *Call
	ctx     context.Context //nolint:containedctx // of the request whose body this is
	scanner *mcp.Scanner
	early   bool // the message under way was judged
}

func newJudgedBody(c *Call, r *http.Request) *judgedBody {
	b := &judgedBody{ReadCloser: r.Body, call: c, ctx: r.Context()}
	b.scanner = mcp.NewScanner(b.found)
	return b
}

// found judges a message of which all but the end was read.
func (b *judgedBody) found(m *mcp.Message) error {
	b.early = false
	return b.judge(m)
}

// judge breaks the body off for a message that does not go on.
func (b *judgedBody) judge(m *mcp.Message) error {
	if f := cmp.Or(b.call.judge(b.ctx, m), scopesMissing(b.call)); f != nil {
		b.call.judged.breakOff(&broken{message: m, refused: f})
		return f
	}
	return nil
}

// broken is why a body was broken off: a message in it is refused, or it cannot be
// read.
type broken struct {
	message *mcp.Message
	refused *refused
	err     error
}

// Read implements io.Reader.
func (b *judgedBody) Read(p []byte) (int, error) {
	if b.call.judged.brokenOff() != nil {
		return 0, errRefused
	}
	n, err := b.ReadCloser.Read(p)
	passed, unread := b.scanner.Write(p[:n])
	if unread == nil && errors.Is(err, io.EOF) {
		unread = b.scanner.Close()
	}
	if unread == nil && !b.early {
		if m := b.scanner.Early(); m != nil {
			b.early = true
			if unread = b.judge(m); unread != nil {
				passed = 0
			}
		}
	}
	if unread == nil {
		return n, err
	}
	if b.call.judged.brokenOff() == nil {
		b.call.judged.breakOff(&broken{err: unread})
	}
	return passed, errRefused
}

// errRefused breaks a request off.
var errRefused = errors.New("mcp_oauth: the body of the request is refused")

// answerBroken returns what answers a call whose body was broken off, in the server's
// place.
func (c *Call) answerBroken(req *http.Request, b *broken) *http.Response {
	res := &http.Response{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req, Body: http.NoBody}
	return replace(res, func(w http.ResponseWriter) {
		if b.refused == nil {
			c.rejectBody(w, req, http.StatusBadRequest, "ambiguous", ambiguous, b.err)
			return
		}
		messages := []mcp.Message{*b.message}
		c.answerRefused(w, req, messages, &messages[0], b.refused)
	})
}
