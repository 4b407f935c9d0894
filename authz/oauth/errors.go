package oauth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// Error is an OAuth error response (RFC 6749 section 5.2). Its Description is
// a fixed text of ours: nothing a client sent is ever reflected.
type Error struct {
	Status      int
	Code        string
	Description string
	// Challenge is sent as WWW-Authenticate unless empty.
	Challenge string
	// Reason is what the log says of it in one word, where that is more than Code.
	// It is never sent.
	Reason string
	// Cause is logged, never sent.
	Cause error
	// Known tells that the log hears from elsewhere what is wrong, and for how long.
	Known bool
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Code + ": " + e.Description + ": " + e.Cause.Error()
	}
	return e.Code + ": " + e.Description
}

func (e *Error) Unwrap() error { return e.Cause }

// Because returns the same answer with its reason for the log: a short fixed word.
func (e *Error) Because(reason string) *Error {
	same := *e
	same.Reason = reason
	return &same
}

// NewError returns a 400 response with the code.
func NewError(code, description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: code, Description: description}
}

// ErrInvalidGrant is the one answer for a code or refresh token that does not
// work, so that it tells nobody why (RFC 6749 section 5.2).
var ErrInvalidGrant = NewError("invalid_grant", "The code or token is unknown, expired, used, or meant for another client.")

// Unavailable returns the 503 response for a store that cannot do its work.
// Failing to decide is never a yes.
func Unavailable(cause error) *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable",
		Description: "The server cannot answer right now; try again shortly.", Cause: cause,
	}
}

// AsError turns any error into a response; what is not an Error already came
// from the store.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Unavailable(err)
}

// WriteError answers with the error as JSON, under the reference of the event that
// it records: of the kind that is given, or RequestFailed if the failure is ours.
func WriteError(ctx context.Context, w http.ResponseWriter, events *event.Recorder, refused event.Kind, err error) {
	e := AsError(err)
	e.Answer(w, events.Refer(ctx, e.Event(refused)))
}

// Event returns what is to be recorded of the error. One who hangs up before the
// answer is no failure of ours.
func (e *Error) Event(refused event.Kind) event.Event {
	kind := refused
	if e.Status >= http.StatusInternalServerError {
		kind = event.RequestFailed
	}
	return event.Event{
		Kind: kind, Reason: cmp.Or(e.Reason, e.Code), Detail: e.Description, Status: e.Status, Err: e.Cause,
		Known: e.Known || errors.Is(e.Cause, context.Canceled) || isKnown(e.Cause),
	}
}

// isKnown reports whether an error says of itself that the log hears of it elsewhere.
func isKnown(err error) bool {
	var known interface{ Known() bool }
	return errors.As(err, &known) && known.Known()
}

// Answer answers with the error as JSON, under the reference of an event.
func (e *Error) Answer(w http.ResponseWriter, correlationID string) {
	if e.Challenge != "" {
		w.Header().Set("WWW-Authenticate", e.Challenge)
	}
	SetRetryAfter(w, e.Status)
	WriteJSON(w, e.Status, errorBody{e.Code, e.Description, correlationID})
}

type errorBody struct {
	Error         string `json:"error"`
	Description   string `json:"error_description,omitempty"`
	CorrelationID string `json:"correlation_id"` // last: see PreparedError
}

// PreparedError is an error response that lacks nothing but its correlation id.
// Anybody can be refused any number of times, so it has to cost little.
type PreparedError struct {
	reason *Error
	body   []byte // up to the correlation id
}

// PrepareError returns the response for the reason, which has a Challenge.
func PrepareError(reason *Error) *PreparedError {
	body, err := json.Marshal(errorBody{Error: reason.Code, Description: reason.Description})
	if err != nil {
		panic(err) // strings cannot fail
	}
	return &PreparedError{reason, bytes.TrimSuffix(body, []byte(`"}`))}
}

// WritePage answers with a page in place of the error, under its challenge.
func (f *PreparedError) WritePage(w http.ResponseWriter, r *http.Request, page http.Handler) {
	w.Header().Set("WWW-Authenticate", f.reason.Challenge)
	page.ServeHTTP(w, r)
}

// Event returns what is to be recorded of the answer.
func (f *PreparedError) Event(refused event.Kind) event.Event { return f.reason.Event(refused) }

// Write answers, under the reference of an event.
func (f *PreparedError) Write(w http.ResponseWriter, reference string) {
	w.Header().Set("WWW-Authenticate", f.reason.Challenge)
	body := make([]byte, 0, len(f.body)+len(reference)+2)
	writeDocument(w, f.reason.Status, append(append(append(body, f.body...), reference...), `"}`...))
}
