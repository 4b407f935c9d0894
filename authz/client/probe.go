package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

const (
	probeTimeout   = 10 * time.Second
	maxProbeAnswer = 64 << 10
)

// The one request of each era that asks a server who it is. We declare no
// capability: nothing is relayed.
const (
	discoverMessage = `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{` +
		`"io.modelcontextprotocol/protocolVersion":"` + mcp.Stateless + `",` +
		`"io.modelcontextprotocol/clientInfo":{"name":"caddy-mcp-oauth","version":"1"},` +
		`"io.modelcontextprotocol/clientCapabilities":{}}}}`
	initializeMessage = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{` +
		`"protocolVersion":"` + mcp.November2025 + `","capabilities":{},` +
		`"clientInfo":{"name":"caddy-mcp-oauth","version":"1"}}}`
)

// question asks a server who it is.
type question struct {
	message string
	// revision is the one that the header names, if any.
	revision string
	// method is repeated in a header, as the current revision wants it.
	method string
}

// questions are put in this order: not every server understands each, and one
// that does not may answer anything, before it looks at credentials.
var questions = [...]question{
	{discoverMessage, mcp.Stateless, "server/discover"},
	// Revisions before that: a session is opened, without the header.
	{message: initializeMessage},
	// The same for servers that demand the header with every request: the first
	// revision that has it is known to all of them.
	{message: initializeMessage, revision: mcp.June2025},
}

// ProbeAnswer is how a server answered a request of our own.
type ProbeAnswer struct {
	Status int
	// Result is true if the request was answered with a result.
	Result bool
	header http.Header
}

// Unable reports whether the server says that it cannot answer just now.
func (a *ProbeAnswer) Unable() bool {
	return a.Status >= http.StatusInternalServerError || a.Status == http.StatusTooManyRequests
}

// Refused reports whether the server refuses who asked.
func (a *ProbeAnswer) Refused() bool {
	return a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden
}

// Probe asks an MCP server about credentials, with a request that changes
// nothing there: who it is. Some refuse what they do not know as if it were
// about the credentials: a refusal counts if the server says the same to every
// question that it takes for one.
func (c *Client) Probe(ctx context.Context, serverURL string, credentials http.Header) (*ProbeAnswer, error) {
	var last, refusal *ProbeAnswer
	err := c.probe(ctx, serverURL, credentials, func(a *ProbeAnswer) (enough bool) {
		last = a
		if a.Refused() {
			refusal = a
		}
		return a.Result
	})
	if err != nil {
		return nil, err
	}
	if last.Result || last.Unable() || refusal == nil {
		return last, nil
	}
	return refusal, nil
}

// ProbeURL asks a URL that is there to judge credentials. Its answer to good
// ones is 2xx.
func (c *Client) ProbeURL(ctx context.Context, url string, credentials http.Header) (*ProbeAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	resp, err := c.send(ctx, http.MethodGet, url, nil, http.Header{}, credentials)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	return &ProbeAnswer{Status: resp.StatusCode, header: resp.Header, Result: resp.StatusCode/100 == 2}, nil
}

// probe puts the questions to a server until an answer is enough. It fails
// if the server did not answer the last one that was worth asking. One that
// never answers what it does not know has half of the time left for the others.
func (c *Client) probe(ctx context.Context, serverURL string, credentials http.Header, enough func(*ProbeAnswer) bool) error {
	for i, q := range questions {
		a, err := c.askInHalf(ctx, serverURL, q, credentials)
		if i == 0 && err != nil && !notReached(err) {
			continue // it may be the question
		}
		if err != nil {
			return err
		}
		if enough(a) || i > 0 && a.Status != http.StatusBadRequest {
			return nil
		}
	}
	return nil
}

// askInHalf puts one question to a server, and leaves it half of the time that
// there is.
func (c *Client) askInHalf(ctx context.Context, serverURL string, q question, credentials http.Header) (*ProbeAnswer, error) {
	if end, bounded := ctx.Deadline(); bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	return c.ask(ctx, serverURL, q, credentials)
}

// ask puts one question to a server, and ends the session that it may open.
func (c *Client) ask(ctx context.Context, serverURL string, q question, credentials http.Header) (*ProbeAnswer, error) {
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {mcp.Accept}}
	if q.revision != "" {
		header.Set(mcp.HeaderProtocolVersion, q.revision)
	}
	if q.method != "" {
		header.Set("Mcp-Method", q.method)
	}
	a, err := c.postMessage(ctx, serverURL, q.message, header, credentials)
	if err != nil {
		return nil, err
	}
	if id := a.header.Get(mcp.HeaderSessionID); id != "" {
		c.endSession(ctx, serverURL, id, credentials)
	}
	return a, nil
}

func (c *Client) postMessage(ctx context.Context, serverURL, message string, header, credentials http.Header) (*ProbeAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	resp, err := c.send(ctx, http.MethodPost, serverURL, strings.NewReader(message), header, credentials)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &ProbeAnswer{Status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode == http.StatusOK {
		a.Result = hasResult(resp)
	}
	return a, nil
}

// send sends a request with credentials. A redirect is not followed: they are
// for this address alone.
func (c *Client) send(ctx context.Context, method, url string, body io.Reader, header, credentials http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	req.Header = header
	maps.Copy(req.Header, credentials)
	return c.reach(req.URL).Do(req)
}

// endSession ends a session that will not be used. Whether that works matters to
// the server alone.
func (c *Client) endSession(ctx context.Context, serverURL, id string, credentials http.Header) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	header := http.Header{mcp.HeaderSessionID: {id}, mcp.HeaderProtocolVersion: {mcp.November2025}}
	resp, err := c.send(ctx, http.MethodDelete, serverURL, nil, header, credentials)
	if err == nil {
		resp.Body.Close()
	}
}

// hasResult reports whether the answer, JSON or an event stream, holds a
// result. A stream is read up to its first message only.
func hasResult(resp *http.Response) bool {
	body := io.LimitReader(resp.Body, maxProbeAnswer)
	var message []byte
	if egress.MediaType(resp.Header) == mcp.EventStream {
		message, _ = mcp.NewEventReader(body, maxProbeAnswer).Next()
	} else {
		message, _ = io.ReadAll(body)
	}
	var m struct {
		Result json.RawMessage `json:"result"`
	}
	return json.Unmarshal(bytes.TrimPrefix(message, byteOrderMark), &m) == nil && bytes.HasPrefix(m.Result, []byte("{"))
}
