package mcp

import (
	"encoding/json"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

const (
	// codeInvalidParams is of JSON-RPC.
	codeInvalidParams = -32602
	// codeHeaderMismatch is of MCP, from the revision Stateless on.
	codeHeaderMismatch = -32020
)

type rpcError struct {
	Code    int               `json:"code"`
	Message string            `json:"message"`
	Data    map[string]string `json:"data"`
}

// WriteError answers an MCP request that the gate itself refuses, outside of
// what OAuth has a form for. The JSON-RPC code is the HTTP status: it is
// outside the range that JSON-RPC and MCP reserve. There is no id, because the
// body was not read.
func WriteError(w http.ResponseWriter, status int, message, correlationID string) {
	writeRPCError(w, status, nil, rpcError{status, message, map[string]string{"correlation_id": correlationID}})
}

// WriteErrorTo is WriteError for a request whose body was read; nil if it
// could not be.
func WriteErrorTo(w http.ResponseWriter, r *Request, status int, message, correlationID string) {
	if r == nil {
		WriteError(w, status, message, correlationID)
		return
	}
	writeRPCError(w, status, r.ID, rpcError{status, message, map[string]string{"correlation_id": correlationID}})
}

// WriteInvalidState answers a request that carries a state of ours, but is not
// the request that the state was made for.
func WriteInvalidState(w http.ResponseWriter, r *Request, correlationID string) {
	writeRPCError(w, http.StatusBadRequest, r.ID, rpcError{
		codeInvalidParams, "The requestState was made for another request.", map[string]string{"correlation_id": correlationID},
	})
}

// WriteHeaderMismatch answers a request for which MatchesHeaders does not hold.
func WriteHeaderMismatch(w http.ResponseWriter, r *Request, correlationID string) {
	writeRPCError(w, http.StatusBadRequest, r.ID, rpcError{
		codeHeaderMismatch, "The headers of the request do not say what its body says.", map[string]string{"correlation_id": correlationID},
	})
}

func writeRPCError(w http.ResponseWriter, status int, id json.RawMessage, e rpcError) {
	oauth.WriteJSON(w, status, struct {
		JSONRPC string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"` // null when nil
		Error   rpcError        `json:"error"`
	}{"2.0", id, e})
}
