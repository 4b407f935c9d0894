package inquiry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

const (
	// maxBytes bounds what is read of a server in one inquiry.
	maxBytes = 8 << 20
	// maxPages bounds how many pages of its list are asked for.
	maxPages = 100
	// maxTools bounds how many tools it may have.
	maxTools  = 5_000
	userAgent = "caddy-mcp-oauth"
	// maxSessionID bounds the id of a session, which goes into a header.
	maxSessionID = 4 << 10
)

// Errors of Tools, besides those of whoever carries the requests.
var (
	ErrTooMuch = errors.New("mcp: the server lists more than is read")
	ErrNoList  = errors.New("mcp: the server answers no list of tools")
	// ErrDenied: the server wants another credential.
	ErrDenied = errors.New("mcp: the server denies the request for its list of tools")
)

// Tool is what a server lists.
type Tool struct {
	Name        string
	Annotations access.Annotations
	// Definition is what the server wrote, in JSON.
	Definition []byte
}

// Inquiry is one conversation with a server.
type Inquiry struct {
	carrier http.RoundTripper
	url     string

	revision string // empty until one was agreed on that is sent
	session  string
	asked    int // requests so far
	left     int // bytes that may still be read
}

// New returns an inquiry of the server at the URL.
func New(carrier http.RoundTripper, url string) *Inquiry {
	return &Inquiry{carrier: carrier, url: url, left: maxBytes}
}

// Tools returns the tools of the server. One that does not answer as of the revisions
// without sessions is asked as of those with them.
func (q *Inquiry) Tools(ctx context.Context) ([]Tool, error) {
	q.revision = mcp.Stateless
	tools, err := q.list(ctx)
	if errors.Is(err, errRetry) {
		tools, err = q.list(ctx)
	}
	if !errors.Is(err, ErrNoList) || ctx.Err() != nil {
		return tools, err
	}
	if err := q.initialize(ctx); err != nil {
		return nil, err
	}
	return q.list(ctx)
}

// errRetry is the refusal of the revision by a server that says that it has it. It is
// an ErrNoList.
var errRetry = fmt.Errorf("%w: it has the revision that it refused", ErrNoList)

// answeredError is an answer that is no list.
type answeredError struct{ status int }

// Error implements error.
func (e *answeredError) Error() string {
	return fmt.Sprintf("%s: answered with status %d", ErrNoList, e.status)
}

// Is makes it an ErrNoList.
func (e *answeredError) Is(target error) bool { return target == ErrNoList }

// list asks for all pages of the list.
func (q *Inquiry) list(ctx context.Context) ([]Tool, error) {
	l := &list{}
	var cursor json.RawMessage
	for range maxPages {
		params := map[string]any{}
		if cursor != nil {
			params["cursor"] = cursor
		}
		if !mcp.HasSessions(q.revision) {
			params["_meta"] = map[string]any{
				"io.modelcontextprotocol/protocolVersion":    q.revision,
				"io.modelcontextprotocol/clientCapabilities": struct{}{},
				"io.modelcontextprotocol/clientInfo":         clientInfo,
			}
		}
		message, err := q.ask(ctx, "tools/list", params)
		if err != nil {
			return nil, err
		}
		if err := l.read(message); err != nil {
			return nil, err
		}
		if l.next == nil || bytes.Equal(l.next, cursor) {
			return l.tools, nil
		}
		cursor = l.next
	}
	return nil, ErrTooMuch
}

// initialize opens a session, if the server has such.
func (q *Inquiry) initialize(ctx context.Context) error {
	q.revision = ""
	message, err := q.ask(ctx, "initialize", map[string]any{
		"protocolVersion": mcp.November2025, "capabilities": struct{}{}, "clientInfo": clientInfo,
	})
	if err != nil {
		return err
	}
	var opened struct {
		Result struct {
			ProtocolVersion string `json:"protocolVersion"`
		} `json:"result"`
	}
	if json.Unmarshal(message, &opened) != nil {
		return ErrNoList
	}
	// What an older server, or one that makes up revisions, says is not sent back.
	if v := opened.Result.ProtocolVersion; v == mcp.June2025 || v == mcp.November2025 {
		q.revision = v
	}
	res, err := q.send(ctx, http.MethodPost, "", map[string]any{"jsonrpc": "2.0", "method": "notifications/initialized"})
	if err != nil {
		return err
	}
	return res.Body.Close()
}

var clientInfo = map[string]string{"name": "caddy-mcp-oauth", "version": "1"}

// End ends the session, if there is one.
func (q *Inquiry) End(ctx context.Context) {
	if q.session == "" {
		return
	}
	if res, err := q.send(ctx, http.MethodDelete, "", nil); err == nil {
		_ = res.Body.Close()
	}
}

// ask makes a request and returns the message that answers it.
func (q *Inquiry) ask(ctx context.Context, method string, params any) (json.RawMessage, error) {
	q.asked++
	id := fmt.Sprintf("caddy-mcp-oauth-%d", q.asked)
	res, err := q.send(ctx, http.MethodPost, method, map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		return nil, ErrDenied
	case res.StatusCode == http.StatusBadRequest && q.isToRetry(res):
		return nil, errRetry
	case res.StatusCode != http.StatusOK:
		return nil, &answeredError{res.StatusCode}
	}
	message, err := q.read(res, id)
	if err != nil {
		return nil, err
	}
	if ids := res.Header[mcp.HeaderSessionID]; method == "initialize" && len(ids) == 1 && len(ids[0]) <= maxSessionID && oauth.VisibleASCII(ids[0]) {
		q.session = ids[0]
	}
	return message, nil
}

// send sends a message, which may be none.
func (q *Inquiry) send(ctx context.Context, method, called string, message any) (*http.Response, error) {
	var body io.Reader
	if message != nil {
		text, err := json.Marshal(message)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, q.url, body)
	if err != nil {
		return nil, err
	}
	if message != nil {
		req.Header["Content-Type"] = []string{"application/json"}
	}
	req.Header["Accept"] = []string{mcp.Accept}
	req.Header["Accept-Encoding"] = []string{"identity"} // what is small on the way may be large
	req.Header["User-Agent"] = []string{userAgent}
	if q.revision != "" {
		req.Header[mcp.HeaderProtocolVersion] = []string{q.revision}
	}
	if q.session != "" {
		req.Header[mcp.HeaderSessionID] = []string{q.session}
	}
	if !mcp.HasSessions(q.revision) {
		req.Header["Mcp-Method"] = []string{called}
	}
	return q.carrier.RoundTrip(req)
}
