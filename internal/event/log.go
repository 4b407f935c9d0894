package event

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLog returns a Sink that writes one line for each event. What repeats is
// written at DEBUG.
func NewLog(log *zap.Logger) Sink { return logSink{log} }

type logSink struct{ log *zap.Logger }

func (s logSink) Record(e *Event) {
	level := e.Kind.Level()
	if e.Repeats {
		level = zapcore.DebugLevel
	}
	if entry := s.log.Check(level, e.Kind.Message()); entry != nil {
		entry.Write(zap.Inline(line{e}))
	}
}

// line is what the log has of an event.
type line struct{ *Event }

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (l line) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("event", l.Kind.String())
	for _, field := range l.fields() {
		if field.value != "" {
			enc.AddString(field.name, field.value)
		}
	}
	if l.Status != 0 {
		enc.AddInt("status", l.Status)
	}
	if l.Count != 0 {
		enc.AddInt("count", l.Count)
	}
	if l.Err != nil {
		enc.AddString("error", l.Err.Error())
	}
	return nil
}

type field struct{ name, value string }

// fields are the texts of a line, in order.
func (l line) fields() []field {
	return []field{
		{"correlation_id", l.Reference},
		{"reason", l.Reason},
		{"detail", l.Detail},
		{"person", l.Person},
		{"identity", l.Identity},
		{"client_id", l.Client},
		{"client_name", l.ClientName},
		{"server", l.Server},
		{"provider", l.Provider},
		{"address", l.Address},
		{"origin", l.Origin},
		{"user_agent", l.Agent},
		{"grant_id", l.Grant},
		{"connection", l.Connection},
		{"flow", l.Flow},
		{"by", string(l.By)},
		{"site", l.Site},
		{"trace_id", l.Trace},
	}
}
