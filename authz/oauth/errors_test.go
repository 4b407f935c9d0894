package oauth

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// Only what is a failure of ours is one in the log.
func TestErrorEvent(t *testing.T) {
	for name, tt := range map[string]struct {
		err  *Error
		want event.Event
	}{
		"the sender's mistake":  {NewError("invalid_request", "The code is missing."), event.Event{Kind: event.TokenRefused, Reason: "invalid_request", Detail: "The code is missing.", Status: 400}},
		"with a reason":         {ErrInvalidGrant.Because("reused"), event.Event{Kind: event.TokenRefused, Reason: "reused", Detail: ErrInvalidGrant.Description, Status: 400}},
		"too many requests":     {&Error{Status: http.StatusTooManyRequests, Code: "slow"}, event.Event{Kind: event.TokenRefused, Reason: "slow", Status: 429}},
		"a store that fails":    {Unavailable(errFull), event.Event{Kind: event.RequestFailed, Reason: "temporarily_unavailable", Detail: Unavailable(nil).Description, Status: 503, Err: errFull}},
		"a sender who left":     {Unavailable(context.Canceled), event.Event{Kind: event.RequestFailed, Reason: "temporarily_unavailable", Detail: Unavailable(nil).Description, Status: 503, Err: context.Canceled, Known: true}},
		"what is known already": {&Error{Status: 503, Code: "silent", Known: true}, event.Event{Kind: event.RequestFailed, Reason: "silent", Status: 503, Known: true}},
	} {
		if got := tt.err.Event(event.TokenRefused); got != tt.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, tt.want)
		}
	}
}

var errFull = errors.New("disk full")
