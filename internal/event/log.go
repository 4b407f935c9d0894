package event

import "go.uber.org/zap"

// NewLog returns a Sink that writes one line for each event.
func NewLog(log *zap.Logger) Sink { return logSink{log} }

type logSink struct{ log *zap.Logger }

func (s logSink) Record(e *Event) {
	if entry := s.log.Check(e.Level, e.Kind.Message()); entry != nil {
		entry.Write(e.Fields()...)
	}
}

// logField is what a line has of an event.
type logField struct {
	name string
	// meaning is for docs/logs.md.
	meaning string
	value   func(*Event) string
}

// logFields are the texts of a line, in order.
var logFields = []logField{
	{"event", "the kind, see above", func(e *Event) string { return e.Kind.String() }},
	{"correlation_id", "what the page or the answer showed", func(e *Event) string { return e.Reference }},
	{"reason", "why, in one fixed word", func(e *Event) string { return e.Reason }},
	{"detail", "why, in a sentence", func(e *Event) string { return e.Detail }},
	{"person", "the subject: the kind of identity and the name", func(e *Event) string { return e.Person }},
	{"identity", "how they signed in", func(e *Event) string { return e.Identity }},
	{"client_id", "the OAuth client, as it says or proves", func(e *Event) string { return e.Client }},
	{"client_name", "its name, as it says", func(e *Event) string { return e.ClientName }},
	{"server", "the MCP server", func(e *Event) string { return e.Server }},
	{"account_name", "the account at the server, where a person can have several", func(e *Event) string { return e.Account }},
	{"servers", "the MCP servers, where there are several", func(e *Event) string { return e.Servers }},
	{"tool", "the tool of the MCP server, as it names it", func(e *Event) string { return e.Tool }},
	{"provider", "the identity provider, provider of accounts, or host of client documents", func(e *Event) string { return e.Provider }},
	{"address", "the IP address that asked; of what repeats, the block of addresses", func(e *Event) string { return e.Address }},
	{"origin", "the web page that asked", func(e *Event) string { return e.Origin }},
	{"user_agent", "the program that asked, as it says", func(e *Event) string { return e.Agent }},
	{"grant_id", "what a person approved", func(e *Event) string { return e.Grant }},
	{"connection", "a connected account", func(e *Event) string { return e.Connection }},
	{"flow", "one sign-in", func(e *Event) string { return e.Flow }},
	{"by", "who did it: person, client, operator, provider or site", func(e *Event) string { return string(e.By) }},
	{"site", "the public URL of the site", func(e *Event) string { return e.Site }},
	{"trace_id", "of the request's traceparent", func(e *Event) string { return e.Trace }},
	{"error", "the cause", (*Event).Cause},
}

// Fields returns what a line has of the event.
func (e *Event) Fields() []zap.Field {
	fields := make([]zap.Field, 0, len(logFields)+2)
	for _, f := range logFields {
		if value := f.value(e); value != "" {
			fields = append(fields, zap.String(f.name, value))
		}
	}
	if e.Status != 0 {
		fields = append(fields, zap.Int("status", e.Status))
	}
	if e.Count != 0 {
		fields = append(fields, zap.Int("count", e.Count))
	}
	return fields
}
