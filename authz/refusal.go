package authz

import (
	"bytes"
	"encoding/json"
	"net/http"

	"go.uber.org/zap"
)

// refusal is an error response that lacks nothing but its correlation id.
// Strangers are refused as often as they like, so it has to cost little.
type refusal struct {
	reason    *Error
	challenge string
	body      []byte // up to the correlation id
}

func newRefusal(reason *Error, challenge string) *refusal {
	body, err := json.Marshal(errorBody{Error: reason.Code, Description: reason.Description})
	if err != nil {
		panic(err) // strings cannot fail
	}
	return &refusal{reason, challenge, bytes.TrimSuffix(body, []byte(`"}`))}
}

func (f *refusal) write(w http.ResponseWriter, log *zap.Logger) {
	id := NewCorrelationID()
	logError(log, f.reason, id)
	w.Header().Set("WWW-Authenticate", f.challenge)
	body := make([]byte, 0, len(f.body)+len(id)+2)
	writeDocument(w, f.reason.Status, append(append(append(body, f.body...), id...), `"}`...))
}
