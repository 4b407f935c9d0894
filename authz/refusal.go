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
	values := [...]string{f.challenge, "application/json", "no-store", "nosniff"}
	h := w.Header()
	h["Www-Authenticate"] = values[0:1:1]
	h["Content-Type"] = values[1:2:2]
	h["Cache-Control"] = values[2:3:3]
	h["X-Content-Type-Options"] = values[3:4:4]
	w.WriteHeader(f.reason.Status)
	body := make([]byte, 0, len(f.body)+len(id)+2)
	body = append(append(append(body, f.body...), id...), `"}`...)
	_, _ = w.Write(body)
}
