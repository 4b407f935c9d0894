package oauth

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// The message is the one of the gateway for what it rejects itself: an operator
// finds both with one search. Only what is a failure of ours is above debug.
func TestLogError(t *testing.T) {
	for name, tt := range map[string]struct {
		err     *Error
		level   zapcore.Level
		message string
	}{
		"the sender's mistake": {NewError("invalid_request", "The code is missing."), zapcore.DebugLevel, "request rejected"},
		"too many requests":    {&Error{Status: http.StatusTooManyRequests}, zapcore.DebugLevel, "request rejected"},
		"a store that fails":   {Unavailable(errors.New("disk full")), zapcore.ErrorLevel, "request failed"},
		"a sender who left":    {Unavailable(context.Canceled), zapcore.DebugLevel, "request rejected"},
	} {
		core, logs := observer.New(zapcore.DebugLevel)
		LogError(zap.New(core), tt.err, "reference")
		all := logs.All()
		if len(all) != 1 {
			t.Fatalf("%s: %d lines, want 1", name, len(all))
		}
		if got := all[0]; got.Level != tt.level || got.Message != tt.message || got.ContextMap()["correlation_id"] != "reference" {
			t.Errorf("%s: got %s %q %v, want %s %q with the reference", name, got.Level, got.Message, got.ContextMap(), tt.level, tt.message)
		}
	}
}
