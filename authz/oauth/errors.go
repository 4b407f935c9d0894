package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Error is an OAuth error response (RFC 6749 section 5.2). Its Description is
// a fixed text of ours: nothing a client sent is ever reflected.
type Error struct {
	Status      int
	Code        string
	Description string
	// Challenge is sent as WWW-Authenticate unless empty.
	Challenge string
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

// NewCorrelationID returns the id that ties what a person or client sees to a
// log line.
func NewCorrelationID() string { return uuid.NewString() }

// WriteError answers with the error as JSON and logs it under a correlation id.
func WriteError(w http.ResponseWriter, log *zap.Logger, err error) {
	AsError(err).Write(w, log)
}

// Write answers with the error as JSON and logs it under a correlation id.
func (e *Error) Write(w http.ResponseWriter, log *zap.Logger) {
	id := NewCorrelationID()
	LogError(log, e, id)
	e.Answer(w, id)
}

// Answer answers with the error as JSON, for a line that was logged already.
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

// LogError logs a server's failure as an error and the sender's as debug:
// unauthenticated clients must not be able to fill the log. One who hangs up before the
// answer is no failure of ours.
func LogError(log *zap.Logger, e *Error, correlationID string) {
	level, message := zapcore.DebugLevel, "request rejected"
	if e.Status >= http.StatusInternalServerError && !e.Known && !errors.Is(e.Cause, context.Canceled) {
		level, message = zapcore.ErrorLevel, "request failed"
	}
	entry := log.Check(level, message)
	if entry == nil { // most often
		return
	}
	entry.Write(zap.String("correlation_id", correlationID), zap.String("error", e.Code),
		zap.String("description", e.Description), zap.NamedError("cause", e.Cause))
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

// Write answers, and logs the error under a correlation id.
func (f *PreparedError) Write(w http.ResponseWriter, log *zap.Logger) {
	id := NewCorrelationID()
	LogError(log, f.reason, id)
	w.Header().Set("WWW-Authenticate", f.reason.Challenge)
	body := make([]byte, 0, len(f.body)+len(id)+2)
	writeDocument(w, f.reason.Status, append(append(append(body, f.body...), id...), `"}`...))
}
