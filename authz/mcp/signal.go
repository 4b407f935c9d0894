package mcp

import (
	"encoding/json"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// codeURLElicitationRequired belongs to the revision 2025-11-25; later ones
// must not be sent it.
const codeURLElicitationRequired = -32042

// inputPrefix starts the keys of our input requests, and tells them from those
// of an upstream.
const inputPrefix = "gw.connect."

// Signal is how a client was told that its person has to connect an account, and
// so what it does once they have.
type Signal int

// The signals.
const (
	// InWords: the person, or a model, read a link. Nobody waits.
	InWords Signal = iota
	// ByInputRequired: the client repeats its request when the person says there
	// that they are done.
	ByInputRequired
	// ByElicitation: the client waits to be told by ElicitationComplete.
	ByElicitation
)

// WriteInputRequired answers a request for which TakesInput holds: the person
// is asked to open a URL, and the client repeats the request with the state
// (revision 2026-07-28, multi round-trip requests).
func WriteInputRequired(w http.ResponseWriter, r *Request, server, url, message, state string) {
	type params struct {
		Mode    string `json:"mode"`
		URL     string `json:"url"`
		Message string `json:"message"`
	}
	type inputRequest struct {
		Method string `json:"method"`
		Params params `json:"params"`
	}
	writeResult(w, r, struct {
		ResultType    string                  `json:"resultType"`
		InputRequests map[string]inputRequest `json:"inputRequests"`
		RequestState  string                  `json:"requestState"`
	}{
		"input_required",
		map[string]inputRequest{inputPrefix + server: {"elicitation/create", params{"url", url, message}}},
		state,
	})
}

// WriteURLElicitationRequired answers a request of a session whose client
// declared that it opens URLs (revision 2025-11-25, URL elicitation required).
// The id is what ElicitationComplete will name.
func WriteURLElicitationRequired(w http.ResponseWriter, r *Request, id, url, message string) {
	type elicitation struct {
		Mode    string `json:"mode"`
		ID      string `json:"elicitationId"`
		URL     string `json:"url"`
		Message string `json:"message"`
	}
	type data struct {
		Elicitations []elicitation `json:"elicitations"`
	}
	type rpcError struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    data   `json:"data"`
	}
	oauth.WriteJSON(w, http.StatusOK, struct {
		JSONRPC string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   rpcError        `json:"error"`
	}{"2.0", r.ID, rpcError{codeURLElicitationRequired, message, data{[]elicitation{{"url", id, url, message}}}}})
}

// WriteToolError answers a tool call with a text that the model reads, and may
// pass on to the person.
func WriteToolError(w http.ResponseWriter, r *Request, message string) {
	type content struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	result := struct {
		ResultType string    `json:"resultType,omitempty"`
		Content    []content `json:"content"`
		IsError    bool      `json:"isError"`
	}{Content: []content{{"text", message}}, IsError: true}
	if !HasSessions(r.Revision) {
		result.ResultType = "complete"
	}
	writeResult(w, r, result)
}

func writeResult(w http.ResponseWriter, r *Request, result any) {
	oauth.WriteJSON(w, http.StatusOK, struct {
		JSONRPC string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  any             `json:"result"`
	}{"2.0", r.ID, result})
}
