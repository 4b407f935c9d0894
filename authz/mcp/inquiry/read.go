package inquiry

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp/lists"
)

// read returns the message that answers a request: all of a body, or one event of a
// stream, in which others may come before.
func (q *Inquiry) read(res *http.Response, id string) (json.RawMessage, error) {
	if coding := strings.Join(res.Header["Content-Encoding"], ","); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, &answeredError{res.StatusCode}
	}
	mediaType, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	body := &bounded{res.Body, &q.left}
	switch {
	case err == nil && mediaType == "application/json":
		message, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		if !answers(message, id) {
			return nil, &answeredError{res.StatusCode}
		}
		return message, nil
	case err == nil && mediaType == mcp.EventStream:
		message, err := event(body, id)
		if errors.Is(err, io.EOF) {
			err = &answeredError{res.StatusCode}
		}
		return message, err
	}
	return nil, &answeredError{res.StatusCode}
}

// answers reports whether a message is the result of the request with an id.
func answers(message []byte, id string) bool {
	var m struct {
		ID     any             `json:"id"`
		Result json.RawMessage `json:"result"`
	}
	return json.Unmarshal(message, &m) == nil && m.ID == id && m.Result != nil
}

// isError reports whether a message says that the request with an id failed.
func isError(message []byte, id string) bool {
	var m struct {
		ID    any             `json:"id"`
		Error json.RawMessage `json:"error"`
	}
	return json.Unmarshal(message, &m) == nil && m.ID == id && m.Error != nil
}

// unsupportedRevision is the code of the error of a server that does not have the
// revision of a request (MCP 2026-07-28).
const unsupportedRevision = -32022

// isToRetry reports whether a request failed as the server does not have its revision,
// though it is among those that the server says it has.
func (q *Inquiry) isToRetry(res *http.Response) bool {
	var m struct {
		Error struct {
			Code int `json:"code"`
			Data struct {
				Supported []string `json:"supported"`
			} `json:"data"`
		} `json:"error"`
	}
	message, err := io.ReadAll(&bounded{res.Body, &q.left})
	return err == nil && json.Unmarshal(message, &m) == nil && m.Error.Code == unsupportedRevision && slices.Contains(m.Error.Data.Supported, q.revision)
}

// event reads a stream up to the event that answers the request with an id. It is
// io.EOF if the request failed, or the stream ends before.
func event(stream io.Reader, id string) (json.RawMessage, error) {
	events := mcp.NewEventReader(stream, maxBytes)
	for {
		data, err := events.Next()
		switch {
		case errors.Is(err, bufio.ErrTooLong):
			return nil, ErrTooMuch
		case err != nil:
			return nil, err
		case answers(data, id):
			return data, nil
		case isError(data, id):
			return nil, io.EOF
		}
	}
}

// bounded reads as much as is left of all that may be read.
type bounded struct {
	io.Reader
	left *int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if *b.left <= 0 {
		return 0, ErrTooMuch
	}
	n, err := b.Reader.Read(p[:min(len(p), *b.left)])
	*b.left -= n
	return n, err
}

// list collects what a server lists. It is read as the gate reads lists.
type list struct {
	tools []Tool
	next  []byte // the cursor of the next page, in JSON
	ended bool
	more  bool // than are read
}

// read reads a page.
func (l *list) read(message []byte) error {
	l.next, l.ended = nil, false
	filter := lists.NewFilter(l)
	if err := filter.Write(message); err != nil {
		return err
	}
	if err := filter.Close(); err != nil {
		return err
	}
	switch {
	case l.more:
		return ErrTooMuch
	case !l.ended:
		return ErrNoList
	}
	return nil
}

// Keep implements lists.Policy. Nothing is passed on.
func (l *list) Keep(kind access.Kind, name []byte, said access.Annotations, definition []byte) bool {
	switch {
	case kind != access.Tool:
	case len(l.tools) >= maxTools:
		l.more = true
	default:
		l.tools = append(l.tools, Tool{string(name), said, bytes.Clone(definition)})
	}
	return false
}

// Known implements lists.Policy. All of it is to be read.
func (*list) Known(access.Kind, []byte) (int, bool) { return 0, false }

// Nothing implements lists.Policy.
func (*list) Nothing(access.Kind) bool { return false }

// Next implements lists.Policy.
func (l *list) Next(cursor []byte) { l.next = bytes.Clone(cursor) }

// Listed implements lists.Policy.
func (l *list) Listed(kind access.Kind, _ bool) { l.ended = l.ended || kind == access.Tool }
