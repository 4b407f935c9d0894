package audit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// loggerName is the name that an operator includes in a log of Caddy's. The lines of
// a site have its host behind that and a dot.
const loggerName = "mcp_oauth_audit"

// logger names the logger, as Caddy names one after its module.
type logger struct{}

func (logger) CaddyModule() caddy.ModuleInfo { return caddy.ModuleInfo{ID: loggerName} }

// Log writes the audit log of one site.
type Log struct {
	log    *zap.Logger
	events *event.Recorder
	// Required tells that a call does not go on unless its line is written.
	Required bool
}

// errNoLog says that no log of Caddy's takes the lines.
var errNoLog = errors.New("no log takes the lines of the audit log: include " + loggerName + " in a log of the global options, at level INFO and without sampling")

// New returns the audit log of a site, or nil if the site has none. What cannot be
// written is recorded with events.
func New(ctx caddy.Context, site *config.Site, events *event.Recorder) (*Log, error) {
	if site.Audit == "" {
		return nil, nil
	}
	l := To(ctx.Logger(logger{}), site, events)
	if l.log.Check(zapcore.InfoLevel, "") == nil {
		return nil, errNoLog
	}
	return l, nil
}

// To returns the audit log of a site that has one, as it is written to a logger.
func To(log *zap.Logger, site *config.Site, events *event.Recorder) *Log {
	if u, err := url.Parse(site.Issuer); err == nil {
		log = log.Named(strings.ReplaceAll(u.Host, ":", "_"))
	}
	return &Log{log: log, events: events, Required: site.Audit == config.AuditRequired}
}

// write writes a line. It returns what kept any of the logs from writing it.
func (l *Log) write(message string, fields []zap.Field) error {
	entry := l.log.Check(zapcore.InfoLevel, message)
	if entry == nil {
		return errNoLog
	}
	// What zap has to say of an entry, it says nowhere else.
	var failed complaints
	entry.ErrorOutput = &failed
	entry.Write(fields...)
	if failed != "" {
		return fmt.Errorf("audit log: %s", string(failed))
	}
	return nil
}

// complaints is where zap writes that a line could not be written.
type complaints string

// Write implements io.Writer.
func (c *complaints) Write(p []byte) (int, error) {
	*c += complaints(strings.TrimSpace(string(p)))
	return len(p), nil
}

// Sync implements zapcore.WriteSyncer.
func (*complaints) Sync() error { return nil }

// lost records that a line is missing.
func (l *Log) lost(what string, err error) {
	l.events.Record(context.Background(), event.Event{Kind: event.AuditFailed, Reason: what, Err: err})
}

// Record implements event.Sink.
func (l *Log) Record(e *event.Event) {
	if !audited(e) {
		return
	}
	if err := l.write(e.Kind.Message(), e.Fields()); err != nil {
		l.lost("event", err)
	}
}

// audited reports whether an event is for the audit log: what people, clients they
// let in, and operators did. Calls have lines of their own. What anybody can cause
// without being known has a line only while the default log has one: else anybody
// could fill the disk.
func audited(e *event.Event) bool {
	switch e.Kind {
	case event.OperatorActed, event.KeyMade, event.KeyChanged, event.KeyDeleted, event.KeyShadowed,
		event.InitialTokenMade, event.InitialTokenDeleted,
		event.SigningKeysReplaced, event.PersonEnded, event.PersonLeft, event.GrantChanged, event.GrantEnded, event.ClientChanged, event.ClientDeleted,
		event.TokenIssued, event.TokenRevoked, event.TokenReuseDetected, event.TokenMisused,
		event.ConnectionConnected, event.ConnectionDisconnected, event.ConnectionLost,
		event.SignInSucceeded, event.SignInEnded, event.ConsentGiven, event.ConsentDenied,
		event.ToolsPinned, event.ToolApproved:
		return true
	case event.SignInRefused, event.SignInFailed, event.ConnectionRefused, event.ConnectionFailed, event.GuessingSuspected,
		event.ToolChanged: // anybody's server can change as often as it likes
		return !e.Repeats
	case event.GateRefused:
		return e.Person != "" && !e.Repeats
	}
	return false
}
