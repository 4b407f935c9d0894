package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

const (
	knockTimeout  = 10 * time.Second
	maxKnockReply = 64 << 10

	modernRevision = "2026-07-28"
	legacyRevision = "2025-11-25"
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

// knocked is how a server answered.
type knocked struct {
	status int
	header http.Header
	// result tells that the request was answered with a result.
	result bool
}

// knock asks a server who it is, in the current revision of MCP.
func (b *Broker) knock(ctx context.Context, s *Server, credentials []CredentialHeader) (*knocked, error) {
	return b.callServer(ctx, s, discoverMessage, credentials, http.Header{
		"Mcp-Protocol-Version": {modernRevision}, "Mcp-Method": {"server/discover"},
	})
}

// knockLegacy asks by opening an MCP session, as servers of revisions before
// 2026-07-28 want it, and ends the session again.
func (b *Broker) knockLegacy(ctx context.Context, s *Server, credentials []CredentialHeader) (*knocked, error) {
	k, err := b.callServer(ctx, s, initializeMessage, credentials, http.Header{})
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
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType == "text/event-stream" {
		message = firstEvent(body)
	} else {
		message, _ = io.ReadAll(body)
	}
	var m struct {
		Result json.RawMessage `json:"result"`
	}
	return json.Unmarshal(message, &m) == nil && bytes.HasPrefix(m.Result, []byte("{"))
}
