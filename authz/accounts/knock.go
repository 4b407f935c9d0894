package accounts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

const (
	knockTimeout  = 10 * time.Second
	maxKnockReply = 64 << 10

	modernRevision = "2026-07-28"
	legacyRevision = "2025-11-25"
	// headerRevision is the first whose clients name it in a header: whoever
	// demands the header knows it.
	headerRevision = "2025-06-18"
)

// The one request of each era that asks a server who it is. We declare no
// capability: nothing is relayed.
const (
	discoverMessage = `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{` +
		`"io.modelcontextprotocol/protocolVersion":"` + modernRevision + `",` +
		`"io.modelcontextprotocol/clientInfo":{"name":"caddy-mcp-oauth","version":"1"},` +
		`"io.modelcontextprotocol/clientCapabilities":{}}}}`
	initializeMessage = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{` +
		`"protocolVersion":"` + legacyRevision + `","capabilities":{},` +
		`"clientInfo":{"name":"caddy-mcp-oauth","version":"1"}}}`
)

// question asks a server who it is.
type question struct {
	message string
	// version is the revision that the header names, if any.
	version string
	// method is repeated in a header, as the current revision wants it.
	method string
}

// questions are put in this order: not every server understands each, and one
// that does not may answer anything, before it looks at credentials.
var questions = [...]question{
	{discoverMessage, modernRevision, "server/discover"},
	// Revisions before 2026-07-28: a session is opened, without the header.
	{message: initializeMessage},
	// The same for servers that demand the header with every request.
	{message: initializeMessage, version: headerRevision},
}

// knocked is how a server answered.
type knocked struct {
	status int
	header http.Header
	// result tells that the request was answered with a result.
	result bool
}

// unable reports whether the server says that it cannot answer just now.
func (k *knocked) unable() bool {
	return k.status >= http.StatusInternalServerError || k.status == http.StatusTooManyRequests
}

func (k *knocked) refused() bool {
	return k.status == http.StatusUnauthorized || k.status == http.StatusForbidden
}

// askInTurn puts the questions to a server until an answer is enough. It fails
// if the server did not answer the last one that was worth asking. One that
// never answers what it does not know has half of the time left for the others.
func (b *Broker) askInTurn(ctx context.Context, s *Server, credentials []CredentialHeader, enough func(*knocked) bool) error {
	for i, q := range questions {
		k, err := b.askInHalf(ctx, s, q, credentials)
		if i == 0 && err != nil && !notReached(err) {
			continue // it may be the question
		}
		if err != nil {
			return err
		}
		if enough(k) || i > 0 && k.status != http.StatusBadRequest {
			return nil
		}
	}
	return nil
}

// askInHalf puts one question to a server, and leaves it half of the time that
// there is.
func (b *Broker) askInHalf(ctx context.Context, s *Server, q question, credentials []CredentialHeader) (*knocked, error) {
	if end, bounded := ctx.Deadline(); bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	return b.ask(ctx, s, q, credentials)
}

// ask puts one question to a server, and ends the session that it may open.
func (b *Broker) ask(ctx context.Context, s *Server, q question, credentials []CredentialHeader) (*knocked, error) {
	header := http.Header{}
	if q.version != "" {
		header.Set("Mcp-Protocol-Version", q.version)
	}
	if q.method != "" {
		header.Set("Mcp-Method", q.method)
	}
	k, err := b.callServer(ctx, s, q.message, credentials, header)
	if err != nil {
		return nil, err
	}
	if id := k.header.Get("Mcp-Session-Id"); id != "" {
		b.endSession(ctx, s, id, credentials)
	}
	return k, nil
}

func (b *Broker) callServer(ctx context.Context, s *Server, message string, credentials []CredentialHeader, header http.Header) (*knocked, error) {
	ctx, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	header.Set("Content-Type", "application/json")
	header.Set("Accept", "application/json, text/event-stream")
	resp, err := b.sendToServer(ctx, http.MethodPost, s, s.URL, strings.NewReader(message), header, credentials)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	k := &knocked{status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode == http.StatusOK {
		k.result = hasResult(resp)
	}
	return k, nil
}

// sendToServer sends a request with a person's credentials. A redirect is
// not followed: the credentials are for this address alone.
func (b *Broker) sendToServer(ctx context.Context, method string, s *Server, url string, body io.Reader, header http.Header, credentials []CredentialHeader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	req.Header = header
	for _, c := range credentials {
		req.Header.Set(c.Name, c.Value)
	}
	return b.reach(s, req.URL).Do(req)
}

// endSession ends a session that nobody will use. Whether it works matters to
// the server alone.
func (b *Broker) endSession(ctx context.Context, s *Server, id string, credentials []CredentialHeader) {
	ctx, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	header := http.Header{"Mcp-Session-Id": {id}, "Mcp-Protocol-Version": {legacyRevision}}
	resp, err := b.sendToServer(ctx, http.MethodDelete, s, s.URL, nil, header, credentials)
	if err == nil {
		resp.Body.Close()
	}
}

// hasResult reports whether the answer, JSON or an event stream, holds a
// result. A stream is read up to its first message only.
func hasResult(resp *http.Response) bool {
	body := io.LimitReader(resp.Body, maxKnockReply)
	var message []byte
	if egress.MediaType(resp.Header) == "text/event-stream" {
		message = firstEvent(body)
	} else {
		message, _ = io.ReadAll(body)
	}
	var m struct {
		Result json.RawMessage `json:"result"`
	}
	return json.Unmarshal(bytes.TrimPrefix(message, byteOrderMark), &m) == nil && bytes.HasPrefix(m.Result, []byte("{"))
}
