package event

import (
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
)

// Event is one thing that happened. Who records it gives its Kind and what they
// know; the Recorder adds what is known of the site and the request.
type Event struct {
	Time time.Time
	Kind Kind
	// Reference is the correlation id that a person or client was shown, or empty.
	Reference string
	// Known tells that the operator hears of its cause from another event: it is no
	// warning.
	Known bool
	// Level is that of its line in the log. The Recorder decides it.
	Level zapcore.Level
	// Repeats tells that the log has enough lines of the same cause: this event was
	// shown the Reference of an earlier one.
	Repeats bool
	// Count is how many events a Suppressed stands for.
	Count int

	Site       string // issuer
	Flow       string // the public id of one sign-in, never the sealed flow_id
	Grant      string
	Connection string
	Person     string // subject
	Identity   string // the kind of identity
	Client     string // client_id
	ClientName string // as the client says, which nobody vouches for
	// Server is the id of an MCP server. One of an account there the Recorder takes
	// apart.
	Server   string
	Account  string // the name of the account at Server, where a person can have several
	Servers  string // where there are several, with commas between them
	Tool     string // of Server, as it names it
	Provider string // issuer or host
	Address  string // IP address of who asked
	Origin   string // of the web page that asked, if one did
	Agent    string // the program that asked, as its User-Agent says
	Trace    string // trace id of the request, if it has one

	// Reason is a short fixed word of ours, usable as the label of a metric.
	Reason string
	// Detail is a fixed sentence of ours.
	Detail string
	By     Actor
	Status int // HTTP status of the answer
	// Err is the cause. Its text must have no secret.
	Err error
}

// On returns the event for MCP servers: one, or several.
func (e Event) On(servers []string) Event {
	if len(servers) == 1 {
		e.Server = servers[0]
		return e
	}
	e.Servers = strings.Join(servers, ",")
	return e
}

// maxCause is how much of a cause is written: it may repeat what a request said.
const maxCause = 1000

// Cause returns the text of Err, or of its beginning.
func (e *Event) Cause() string {
	if e.Err == nil {
		return ""
	}
	text := e.Err.Error()
	return strings.ToValidUTF8(text[:min(len(text), maxCause)], "")
}

// Actor is who made something happen.
type Actor string

// The actors.
const (
	ByPerson   Actor = "person"
	ByClient   Actor = "client"
	ByOperator Actor = "operator"
	ByProvider Actor = "provider"
	BySite     Actor = "site"
)

// Sink is told of every event. Record must not block, and must not change the
// event nor keep it.
type Sink interface {
	Record(*Event)
}
