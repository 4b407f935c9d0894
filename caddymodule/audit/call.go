package audit

import (
	"time"

	"go.uber.org/zap"
)

// Call is one message of a client to an MCP server.
type Call struct {
	// ID is the same in all lines of one request.
	ID         string
	Site       string // issuer
	Server     string
	Person     string // subject
	Identity   string // kind
	Client     string // empty for a virtual key
	Grant      string
	Account    string // own or shared; empty if the server gets none
	Name       string // of the account, where a person can have several
	Connection string // the public handle of a connected account
	Address    string
	Trace      string
	HTTP       string // method
	Method     string // of the JSON-RPC message
	Tool       string // or prompt
	// Unread tells that the body is not one that all readers read in the same way:
	// Method and Tool are what a lenient one finds, if anything.
	Unread bool

	// What follows is known at the end.

	Status   int    // 0 if there was no answer
	Outcome  string // result, error, tool_error; empty if it cannot be told
	Code     int    // of a JSON-RPC error
	Duration time.Duration
	Bytes    int64 // of the answer
}

// Started writes that a call is about to be sent to its server.
func (l *Log) Started(c *Call) error { return l.write("call goes on", c.fields("call.started")) }

// Finished writes how a call ended. It cannot be refused any more.
func (l *Log) Finished(c *Call) {
	fields := append(c.fields("call.finished"), zap.Int("status", c.Status))
	if c.Outcome != "" {
		fields = append(fields, zap.String("outcome", c.Outcome))
	}
	if c.Code != 0 {
		fields = append(fields, zap.Int("code", c.Code))
	}
	fields = append(fields, zap.Duration("duration", c.Duration), zap.Int64("bytes", c.Bytes))
	if err := l.write("call ended", fields); err != nil {
		l.lost("call", err)
	}
}

// fields are what both lines say.
func (c *Call) fields(event string) []zap.Field {
	fields := make([]zap.Field, 0, 24)
	for _, f := range [...]struct{ name, value string }{
		{"event", event},
		{"call", c.ID},
		{"person", c.Person},
		{"identity", c.Identity},
		{"client_id", c.Client},
		{"server", c.Server},
		{"http", c.HTTP},
		{"method", c.Method},
		{"tool", c.Tool},
		{"account", c.Account},
		{"account_name", c.Name},
		{"connection", c.Connection},
		{"grant_id", c.Grant},
		{"address", c.Address},
		{"site", c.Site},
		{"trace_id", c.Trace},
	} {
		if f.value != "" {
			fields = append(fields, zap.String(f.name, f.value))
		}
	}
	if c.Unread {
		fields = append(fields, zap.Bool("unread", true))
	}
	return fields
}
