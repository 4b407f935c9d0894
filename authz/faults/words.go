package faults

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// Line is a step in words.
type Line struct {
	Time time.Time `json:"time"`
	// Times is how often it happened, Until when for the last time.
	Times int       `json:"times,omitempty"`
	Until time.Time `json:"until,omitzero"`
	Text  string    `json:"text"`
	// Join tells how sure it is that the step belongs to the others.
	Join trace.Join `json:"join"`
	// Shows tells that the step shows the fault.
	Shows bool `json:"shows,omitempty"`
	// Reference is what somebody was shown.
	Reference string `json:"reference,omitempty"`
}

// lines puts the steps into words.
func (c *Case) lines(e *Evidence) []Line {
	lines := make([]Line, len(c.Steps))
	for i := range c.Steps {
		s := &c.Steps[i]
		lines[i] = Line{
			Time: s.Time, Times: s.Times, Until: s.Until, Text: c.sentence(s), Join: s.Join,
			Shows: slices.Contains(e.Steps, s), Reference: s.Reference,
		}
	}
	return lines
}

// sentences say what a step is, by its kind, and by its kind and reason. What is
// not here is said by the message of its kind.
var sentences = map[string]string{
	"gate.refused no_token":                "{client} called {server} without a token, and was told to sign in (401)",
	"metadata.served protected_resource":   "{client} read who lets people sign in to {server} (protected resource metadata)",
	"metadata.served authorization_server": "{client} read how to sign in here (authorization server metadata)",
	"client.registered":                    "{client} registered",
	"sign_in.started":                      "a browser opened the sign-in page of {client}",
	"sign_in.succeeded":                    "{person} signed in",
	"consent.given":                        "{person} approved, and the browser was sent back to {client}",
	"consent.denied":                       "{person} refused, and the browser was sent back to {client}",
	"connection.started":                   "the browser was sent to {provider}, to connect an account for {server}",
	"connection.connected":                 "{person} connected an account for {server}",
	"token.issued":                         "{client} got its tokens",
	"token.refreshed":                      "{client} refreshed its tokens",
	"call.passed":                          "a call of {client} to {server} passed",
	"connect_link.opened":                  "a browser opened the link to connect an account for {server}",
	"connect_link.used":                    "{person} connected an account for {server} with the link",
}

// sentence puts a step into words.
func (c *Case) sentence(s *trace.Step) string {
	text, ok := sentences[s.Kind+" "+s.Reason]
	if !ok {
		text = cmp.Or(sentences[s.Kind], messageOf(s.Kind))
	}
	text = c.words(&Evidence{Steps: []*trace.Step{s}}).Replace(text)
	var more []string
	if s.Detail != "" && !ok {
		more = append(more, printable(s.Detail))
	}
	if s.Cause != "" {
		more = append(more, plain(s.Cause))
	}
	if len(more) > 0 {
		text += ": " + strings.Join(more, " ")
	}
	return text
}

func messageOf(kind string) string {
	for _, k := range event.Kinds() {
		if k.String() == kind {
			return k.Message()
		}
	}
	return kind
}
