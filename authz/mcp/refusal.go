package mcp

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// codeNoResource is of MCP before the revision Stateless, which has codeInvalidParams.
const codeNoResource = -32002

// maxEchoed is how much of a name is repeated to who sent it.
const maxEchoed = 256

// Refusal is what a client is told that may not use an item: what it would be told if
// there were none of the name.
type Refusal struct {
	Item Item
	// Reason is told too, unless it is empty.
	Reason        string
	CorrelationID string
}

// WriteRefusal answers, in the server's place, the messages of a body of which one is
// refused. None of a batch was sent on: each request in it gets an error.
func WriteRefusal(w http.ResponseWriter, messages []Message, refused *Message, batch bool, version string, f Refusal) {
	type response struct {
		JSONRPC string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   rpcError        `json:"error"`
	}
	var all []response
	for i := range messages {
		m := &messages[i]
		switch {
		case m.ID == nil:
		case m == refused:
			all = append(all, response{"2.0", m.ID, f.error(version)})
		default:
			all = append(all, response{"2.0", m.ID, rpcError{codeInvalidRequest, "Another message of the batch was refused, so none was sent.", map[string]string{"correlation_id": f.CorrelationID}}})
		}
	}
	switch {
	case len(all) == 0: // notifications, which have no answer
		w.WriteHeader(http.StatusAccepted)
	case batch:
		oauth.WriteJSON(w, http.StatusOK, all)
	default:
		oauth.WriteJSON(w, http.StatusOK, all[0])
	}
}

// codeInvalidRequest is of JSON-RPC.
const codeInvalidRequest = -32600

func (f *Refusal) error(version string) rpcError {
	name := strings.ToValidUTF8(f.Item.Name[:min(len(f.Item.Name), maxEchoed)], "")
	e := rpcError{codeInvalidParams, "", map[string]string{"correlation_id": f.CorrelationID}}
	switch f.Item.Kind {
	case Tool:
		e.Message = "Unknown tool: " + name
	case Prompt:
		e.Message = "Unknown prompt: " + name
	default:
		e.Message, e.Data["uri"] = "Resource not found", name
		if HasSessions(version) {
			e.Code = codeNoResource
		}
	}
	if f.Reason != "" {
		e.Data["reason"] = f.Reason
	}
	return e
}

// WriteUnreadable answers a body that could be read in several ways, or in none.
func WriteUnreadable(w http.ResponseWriter, status int, message, correlationID string) {
	writeRPCError(w, status, nil, rpcError{codeInvalidRequest, message, map[string]string{"correlation_id": correlationID}})
}
