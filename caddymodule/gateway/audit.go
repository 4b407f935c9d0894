package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/audit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// auditedCall looks at a call and its answer for the audit log. It exists only
// where there is one.
type auditedCall struct {
	http.ResponseWriter
	call  *Call
	line  audit.Call
	began time.Time
	sent  *peekedBody // a body that is too large to be buffered; else nil
	// messages are those of the body; nil if it has none, or was not read.
	messages []message

	answer mcp.Peek
	reads  func([]byte) // of the answer; nil if that is not looked at
	status int
	bytes  int64
}

// message is what a JSON-RPC message asks for.
type message struct {
	method, tool string
	unread       bool
}

func newAuditedCall(c *Call, w http.ResponseWriter, r *http.Request) *auditedCall {
	a := &auditedCall{ResponseWriter: w, call: c, began: time.Now()}
	address, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	a.line = audit.Call{
		ID: uuid.NewString(), Site: c.server.Site.Issuer, Server: c.server.Configured().ID, Name: c.server.Account,
		Person: c.caller.Identity.Subject, Identity: c.caller.Identity.Kind, Client: c.caller.ClientID, Grant: c.caller.GrantID,
		Address: address, Trace: event.TraceOf(r.Header.Get("Traceparent")), HTTP: r.Method,
	}
	return a
}

// start is called when the call is about to be sent. It reports whether it may be;
// else it answers.
func (a *auditedCall) start(r *http.Request) bool {
	a.noteAccount()
	log := a.call.server.Site.Audit
	if !log.Required {
		return true
	}
	for _, line := range a.lines() {
		if err := log.Started(&line); err != nil {
			id := a.call.server.refer(r, a.call, event.Event{
				Kind: event.CallFailed, Reason: "not_audited", Detail: "Its line of the audit log cannot be written.", Status: http.StatusServiceUnavailable, Err: err,
			})
			a.Header().Set("Retry-After", "5")
			mcp.WriteError(a, http.StatusServiceUnavailable, "This call cannot be recorded, so it was not made.", id)
			return false
		}
	}
	return true
}

// noteAccount notes whose account the call is made on.
func (a *auditedCall) noteAccount() {
	switch credential := a.call.account.credential; {
	case credential != nil && a.call.server.Auth.Mode.PerUser():
		a.line.Account, a.line.Connection = "own", credential.Connection
	case credential != nil:
		a.line.Account, a.line.Connection = "shared", credential.Connection
	case len(a.call.server.Headers) > 0:
		a.line.Account = "shared"
	}
}

// read finds out what the body asks for. What could be read in several ways is read
// as a lenient reader would, and marked.
func (a *auditedCall) read(r *http.Request) {
	body := a.call.request.body.Bytes()
	switch {
	case body == nil && r.Method == http.MethodPost && r.ContentLength != 0:
		a.sent = &peekedBody{ReadCloser: r.Body}
		r.Body = a.sent
		a.messages = []message{{unread: true}}
	case len(body) > 0:
		a.messages = messagesOf(body)
	}
}

// messagesOf returns what the messages of a body ask for: one, or those of a batch.
func messagesOf(body []byte) []message {
	var batch []json.RawMessage
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '[' && json.Unmarshal(trimmed, &batch) == nil && len(batch) > 0 {
		all := make([]message, 0, len(batch))
		for _, one := range batch {
			all = append(all, messageOf(one))
		}
		return all
	}
	return []message{messageOf(body)}
}

// maxWritten is how much of the name of a tool or prompt is written into a log, or told.
const maxWritten = 256

func messageOf(body []byte) message {
	if request, err := mcp.ParseRequest(body); err == nil {
		name := request.Name()
		return message{method: request.Method, tool: name[:min(len(name), maxWritten)]}
	}
	var p mcp.Peek
	_, _ = p.Write(body)
	return message{method: p.Method, tool: p.Name, unread: p.Answer == "" || p.Method != ""}
}

// lines returns the lines of the call, one for each message.
func (a *auditedCall) lines() []audit.Call {
	messages := a.messages
	if len(messages) == 0 {
		messages = []message{{}}
	}
	lines := make([]audit.Call, len(messages))
	for i, m := range messages {
		lines[i] = a.line
		lines[i].Method, lines[i].Tool, lines[i].Unread = m.method, m.tool, m.unread
	}
	return lines
}

// finish writes how the call ended, whichever stage ended it.
func (a *auditedCall) finish() {
	if a.sent != nil {
		a.messages = []message{a.sent.message()}
	}
	a.line.Status, a.line.Bytes, a.line.Duration = a.status, a.bytes, time.Since(a.began)
	switch {
	case a.answer.Answer == "result" && a.answer.ToolFailed:
		a.line.Outcome = "tool_error"
	case a.answer.Answer != "":
		a.line.Outcome, a.line.Code = a.answer.Answer, a.answer.Code
	}
	for _, line := range a.lines() {
		a.call.server.Site.Audit.Finished(&line)
	}
}

// WriteHeader implements http.ResponseWriter.
func (a *auditedCall) WriteHeader(status int) {
	if status >= http.StatusOK && a.status == 0 {
		a.status = status
		a.look()
	}
	a.ResponseWriter.WriteHeader(status)
}

// look decides how the answer is read, if it can be.
func (a *auditedCall) look() {
	h := a.Header()
	switch {
	case h.Get("Content-Encoding") != "":
	case isEventStream(h):
		a.reads = a.answer.WriteEvents
	default:
		a.reads = func(p []byte) { _, _ = a.answer.Write(p) }
	}
}

// Write implements io.Writer.
func (a *auditedCall) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.reads != nil {
		a.reads(p)
	}
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// Unwrap is what http.ResponseController looks for.
func (a *auditedCall) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// peekedBody is looked at while it is sent on, which may go on when there is an answer.
type peekedBody struct {
	io.ReadCloser
	mu   sync.Mutex
	peek mcp.Peek
}

// Read implements io.Reader.
func (b *peekedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = b.peek.Write(p[:n])
	return n, err
}

// message returns what the body asks for, as far as it was sent.
func (b *peekedBody) message() message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return message{method: b.peek.Method, tool: b.peek.Name, unread: true}
}
