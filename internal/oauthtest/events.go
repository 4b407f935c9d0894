package oauthtest

import (
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// Events returns a recorder that writes into the log, as that of a site does.
func Events(log *zap.Logger) *event.Recorder {
	return event.NewRecorder(event.Options{
		ClientIP: func(r *http.Request) string {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			return host
		},
		Now: time.Now,
	}, event.NewLog(log))
}
