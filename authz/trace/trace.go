package trace

import (
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// Join tells how sure it is that a step belongs to a trace.
type Join string

// How a step was joined.
const (
	// Certain: the step names the sign-in, the grant or the registration.
	Certain Join = "certain"
	// Likely: it came from the same address and program within minutes, and nobody
	// else is known to have been there.
	Likely Join = "likely"
	// Possible: others came from there at the time.
	Possible Join = "possible"
)

// NoToken is the reason of a GateRefused that only tells a client to sign in.
const NoToken = "no_token"

// Trace is one way from a client to MCP servers: from its first request, over the
// sign-in, to its calls. A client that signs in again begins another.
type Trace struct {
	ID   string `json:"id"`
	Site string `json:"site"`
	// Client is the client_id; empty before a client has one.
	Client     string `json:"client_id,omitempty"`
	ClientName string `json:"client_name,omitempty"`
	// Agent is the User-Agent of the client.
	Agent   string `json:"user_agent,omitempty"`
	Address string `json:"address,omitempty"` // of the client
	// Person is the subject of who signed in.
	Person      string   `json:"person,omitempty"`
	Servers     []string `json:"servers,omitempty"`
	Flow        string   `json:"flow,omitempty"`
	Grant       string   `json:"grant_id,omitempty"`
	Connections []string `json:"connections,omitempty"`
	// References are the last error references that somebody was shown.
	References []string `json:"references,omitempty"`

	Began time.Time `json:"began"`
	Last  time.Time `json:"last"`
	Steps []Step    `json:"steps"`
	// LeftOut is how many steps are missing after the first ones.
	LeftOut int `json:"left_out,omitempty"`
}

// Step is one event of a trace, or several of the same in a row.
type Step struct {
	Time  time.Time `json:"time"`
	Until time.Time `json:"until,omitzero"` // of the last, if there were several
	Times int       `json:"times,omitempty"`
	// Kind is the name of the event's kind.
	Kind    string        `json:"event"`
	Outcome event.Outcome `json:"outcome,omitempty"`
	Join    Join          `json:"join"`

	Reference string      `json:"reference,omitempty"`
	Server    string      `json:"server,omitempty"`
	Provider  string      `json:"provider,omitempty"`
	Address   string      `json:"address,omitempty"`
	Agent     string      `json:"user_agent,omitempty"`
	Origin    string      `json:"origin,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	Detail    string      `json:"detail,omitempty"`
	Cause     string      `json:"cause,omitempty"`
	By        event.Actor `json:"by,omitempty"`
	Status    int         `json:"status,omitempty"`
}

// IsFailure reports whether the step refused or failed somebody. That a client
// without a token is told to sign in is no failure.
func (s *Step) IsFailure() bool {
	switch s.Outcome {
	case event.Refused:
		return s.Kind != event.GateRefused.String() || s.Reason != NoToken
	case event.Failed:
		return true
	}
	return s.Kind == event.ConnectionLost.String() || s.Kind == event.TokenReuseDetected.String()
}

// Failed reports whether anything failed.
func (t *Trace) Failed() bool {
	return slices.ContainsFunc(t.Steps, func(s Step) bool { return s.IsFailure() })
}

// End returns when a step happened last.
func (s *Step) End() time.Time {
	if s.Until.IsZero() {
		return s.Time
	}
	return s.Until
}

// isOfClient reports whether events of a kind are about requests that only a client
// sends, which may be a web page.
func isOfClient(k event.Kind) bool {
	switch k {
	case event.GateRefused, event.MetadataServed, event.ClientRegistered, event.ClientRegistrationRefused,
		event.TokenIssued, event.TokenRefreshed, event.TokenRefused:
		return true
	}
	return false
}

// isBrowser reports whether a program is what people look at pages with.
func isBrowser(agent string) bool { return strings.HasPrefix(agent, "Mozilla/") }

const (
	maxText    = 200 // of one field
	maxSteps   = 64  // of one trace
	kept       = 24  // of them the first ones are kept
	stepSize   = 300 // bytes of a step, besides its texts
	maxCause   = 400 // bytes of the cause of a failure
	references = 16
	listed     = 8 // servers and connections of a trace
)

// stepOf returns what is kept of an event.
func stepOf(e *event.Event, j Join) Step {
	s := Step{
		Time: e.Time, Kind: e.Kind.String(), Outcome: e.Kind.Outcome(), Join: j,
		Reference: cut(e.Reference), Server: cut(e.Server), Provider: cut(e.Provider), Address: cut(e.Address), Agent: cut(e.Agent),
		Origin: cut(e.Origin), Reason: cut(e.Reason), Detail: cut(e.Detail), By: e.By, Status: e.Status,
	}
	if e.Err != nil {
		s.Cause = cutAt(e.Err.Error(), maxCause)
	}
	return s
}

func cut(text string) string { return cutAt(text, maxText) }

// cutAt returns the beginning of a text, which a trace must not keep the rest of
// alive either.
func cutAt(text string, size int) string {
	if len(text) <= size {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:size], "")) + "…"
}

func (s *Step) size() int {
	return stepSize + len(s.Reference) + len(s.Server) + len(s.Provider) + len(s.Address) + len(s.Agent) + len(s.Origin) +
		len(s.Reason) + len(s.Detail) + len(s.Cause)
}

// repeats reports whether a step says the same as the one before it.
func (s *Step) repeats(before *Step) bool {
	return s.Kind == before.Kind && s.Reason == before.Reason && s.Server == before.Server && s.Status == before.Status &&
		s.Agent == before.Agent && s.Address == before.Address && s.Join == before.Join && s.Detail == before.Detail && s.Cause == before.Cause
}

// add appends a step, and returns by how many bytes the trace grew.
func (t *Trace) add(s Step) int {
	t.Last = s.Time
	if s.Reference != "" && !slices.Contains(t.References, s.Reference) {
		if len(t.References) == references {
			t.References = slices.Delete(t.References, 0, 1)
		}
		t.References = append(t.References, s.Reference)
	}
	if n := len(t.Steps); n > 0 && s.repeats(&t.Steps[n-1]) {
		last := &t.Steps[n-1]
		last.Times = max(last.Times, 1) + 1
		last.Until = s.Time
		grown := len(s.Reference) - len(last.Reference)
		last.Reference = s.Reference
		return grown
	}
	grown := s.size()
	if len(t.Steps) == maxSteps {
		grown -= t.Steps[kept].size()
		t.Steps = slices.Delete(t.Steps, kept, kept+1)
		t.LeftOut++
	}
	t.Steps = append(t.Steps, s)
	return grown
}

// learn adds what an event says about the whole way.
func (t *Trace) learn(e *event.Event) {
	for _, known := range []struct {
		to   *string
		from string
	}{
		{&t.Client, e.Client}, {&t.ClientName, e.ClientName}, {&t.Person, e.Person}, {&t.Flow, e.Flow}, {&t.Grant, e.Grant},
	} {
		if *known.to == "" {
			*known.to = cut(known.from)
		}
	}
	if t.Agent == "" && e.Agent != "" && (isOfClient(e.Kind) || !isBrowser(e.Agent)) {
		t.Agent, t.Address = cut(e.Agent), cut(e.Address)
	}
	if t.Address == "" {
		t.Address = cut(e.Address)
	}
	t.Servers, t.Connections = listOne(t.Servers, e.Server), listOne(t.Connections, e.Connection)
}

func listOne(all []string, one string) []string {
	if one == "" || len(all) == listed || slices.Contains(all, one) {
		return all
	}
	return append(all, cut(one))
}

// clone returns a copy that shares nothing that changes.
func (t *Trace) clone() *Trace {
	c := *t
	c.Servers, c.Connections, c.References = slices.Clone(t.Servers), slices.Clone(t.Connections), slices.Clone(t.References)
	c.Steps = slices.Clone(t.Steps)
	return &c
}
