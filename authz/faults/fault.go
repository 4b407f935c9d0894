package faults

import (
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
)

// Party is who has to change something.
type Party string

// The parties.
const (
	Client   Party = "client"   // the application that calls, or its vendor
	Provider Party = "provider" // behind an MCP server, or where people sign in
	Person   Party = "person"   // who uses the client
	Operator Party = "operator" // who runs the site
	Us       Party = "us"       // this software
	Nobody   Party = "nobody"   // all works
	Unknown  Party = "unknown"  // what is known does not tell
)

// Fault is a known way to fail.
type Fault struct {
	ID string
	// At is who is at fault.
	At Party
	// What says what happened, Why how that comes, Fix what to do. All three may have
	// {client}, {server}, {provider}, {person}, {origin}, {address}, {site} and {cause}, and
	// in commands {id} for the server and {whom} for the person.
	What, Why, Fix string
	// Link is where it is discussed in public, if it is.
	Link string
	// Sign returns what shows the fault, or nil.
	Sign func(*Case) *Evidence
}

// Evidence is what shows a fault.
type Evidence struct {
	Steps []*trace.Step
	// Missing are sentences about what did not happen.
	Missing []string
	// Recurs tells that it happens again and again: it is the answer even though the
	// client works at the moment.
	Recurs bool
}

// Case is a trace to be explained.
type Case struct {
	*trace.Trace
	// Earlier are those that the same client or person left before, the last one first.
	Earlier []*trace.Trace
	Now     time.Time
}

// How long a program, or a person, may take for the next step before it counts as
// not done.
const (
	patience = time.Minute
	personal = 5 * time.Minute
)

// is reports whether a step is of a kind, for one of the reasons if there are any.
func is(s *trace.Step, kind string, reasons ...string) bool {
	return s.Kind == kind && (len(reasons) == 0 || slices.Contains(reasons, s.Reason))
}

// last returns the last step of a kind, or nil.
func (c *Case) last(kind string, reasons ...string) *trace.Step {
	for i := range slices.Backward(c.Steps) {
		if is(&c.Steps[i], kind, reasons...) {
			return &c.Steps[i]
		}
	}
	return nil
}

// first returns the first step of a kind, or nil.
func (c *Case) first(kind string, reasons ...string) *trace.Step {
	return c.after(nil, kind, reasons...)
}

// after returns the first step of a kind behind another one, or nil.
func (c *Case) after(s *trace.Step, kind string, reasons ...string) *trace.Step {
	passed := s == nil
	for i := range c.Steps {
		switch {
		case &c.Steps[i] == s:
			passed = true
		case passed && is(&c.Steps[i], kind, reasons...):
			return &c.Steps[i]
		}
	}
	return nil
}

// quiet reports whether a step was followed by none of the kinds, though there was
// time for it.
func (c *Case) quiet(s *trace.Step, within time.Duration, kinds ...string) bool {
	if s == nil || c.Now.Sub(s.End()) < within {
		return false
	}
	return !slices.ContainsFunc(kinds, func(kind string) bool { return c.after(s, kind) != nil })
}

// isClient reports whether the client goes by one of the names, by what it says of
// itself.
func (c *Case) isClient(names ...string) bool {
	said := strings.ToLower(c.ClientName + "\n" + c.Agent + "\n" + c.Client)
	return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(said, name) })
}

// seen is the evidence of steps, or nil if one of them did not happen.
func seen(steps ...*trace.Step) *Evidence {
	if slices.Contains(steps, nil) {
		return nil
	}
	return &Evidence{Steps: steps}
}

// when is the evidence if something holds.
func (e *Evidence) when(holds bool) *Evidence {
	if e == nil || !holds {
		return nil
	}
	return e
}

// and adds a step, if it happened.
func (e *Evidence) and(s *trace.Step) *Evidence {
	if e != nil && s != nil {
		e.Steps = append(e.Steps, s)
	}
	return e
}

// but adds what did not happen.
func (e *Evidence) but(missing string) *Evidence {
	if e != nil {
		e.Missing = append(e.Missing, missing)
	}
	return e
}

// says reports whether the detail or the cause of a step has one of the words.
func says(s *trace.Step, words ...string) bool {
	if s == nil {
		return false
	}
	text := strings.ToLower(s.Detail + "\n" + s.Cause)
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}
