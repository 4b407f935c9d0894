package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/inert"
)

// Answer explains a trace.
type Answer struct {
	Flow *trace.Trace `json:"flow"`
	// AtFault is who has to change something.
	AtFault Party `json:"at_fault"`
	// Fault is the ID of the known fault.
	Fault string `json:"fault"`
	What  string `json:"what"`
	Why   string `json:"why,omitempty"`
	Fix   string `json:"fix,omitempty"`
	Link  string `json:"link,omitempty"`
	// Evidence is what happened, in order.
	Evidence []Line `json:"evidence"`
	// Missing is what did not happen.
	Missing []string `json:"did_not_happen,omitempty"`
	// Sure says how sure it is that the steps belong together.
	Sure string `json:"sure"`
	// Also are other faults that show.
	Also []Also `json:"also,omitempty"`
	// Since tells that it works by now.
	Since string `json:"since,omitempty"`
}

// Also is a fault besides the one that an Answer is about.
type Also struct {
	AtFault Party  `json:"at_fault"`
	Fault   string `json:"fault"`
	What    string `json:"what"`
	Fix     string `json:"fix,omitempty"`
}

// match is a fault that a case shows.
type match struct {
	fault    *Fault
	evidence *Evidence
}

const (
	maxAlso = 3
	// related is how far apart in time faults may be that have to do with each other.
	related = 10 * time.Minute
)

// Explain explains a case. With a reference, it is about the step at which
// somebody was shown that.
func Explain(c *Case, reference string) *Answer {
	matches := c.matches()
	asked := c.shown(reference)
	habit := habits(matches)
	weight := func(m match) int {
		if m.evidence.Recurs {
			return habit
		}
		return 0
	}
	slices.SortStableFunc(matches, func(a, b match) int {
		return cmp.Or(later(b.evidence, asked)-later(a.evidence, asked), general(a.fault)-general(b.fault),
			weight(b)-weight(a), b.evidence.end().Compare(a.evidence.end()))
	})
	works := c.last("call.passed")
	first := matches[0]
	if asked == nil && works != nil && !first.evidence.Recurs && first.evidence.end().Before(works.End()) {
		first = match{&works1, seen(works)}
		matches = append([]match{first}, matches...)
	}
	words := c.words(first.evidence)
	a := &Answer{
		Flow: c.Trace, AtFault: first.fault.At, Fault: first.fault.ID, Link: first.fault.Link,
		What: sentence(first.fault.What, words), Why: words.Replace(first.fault.Why), Fix: words.Replace(first.fault.Fix),
		Evidence: c.lines(first.evidence), Missing: first.evidence.Missing, Sure: c.sure(),
	}
	explained := slices.Clone(first.evidence.Steps)
	for _, m := range matches[1:] {
		if len(a.Also) == maxAlso || strangers(asked) || first.evidence.end().Sub(m.evidence.end()).Abs() > related {
			continue
		}
		news := slices.ContainsFunc(m.evidence.Steps, func(s *trace.Step) bool { return !slices.Contains(explained, s) })
		explained = append(explained, m.evidence.Steps...)
		if news && general(m.fault) == 0 {
			words := c.words(m.evidence)
			a.Also = append(a.Also, Also{m.fault.At, m.fault.ID, sentence(m.fault.What, words), words.Replace(m.fault.Fix)})
		}
	}
	if first.fault != &works1 && !first.evidence.Recurs && works != nil && works.End().After(first.evidence.end()) {
		a.Since = "It works by now: a call passed at " + works.End().UTC().Format(time.TimeOnly) + " UTC."
	}
	return a
}

// matches returns the faults that show, and at least what always holds.
func (c *Case) matches() []match {
	var all []match
	for _, f := range slices.Concat(All, generalFaults) {
		if e := f.Sign(c); e != nil {
			all = append(all, match{f, e})
		}
	}
	return all
}

// general is 1 for what says no more than the event itself.
func general(f *Fault) int {
	if slices.Contains(generalFaults, f) {
		return 1
	}
	return 0
}

// habits is how much what happens again and again counts beside other faults: more than
// what did not happen or may be another client's, and less than what surely failed or
// was refused.
func habits(matches []match) int {
	surely := func(s *trace.Step) bool { return s.Join != trace.Possible && s.IsFailure() }
	if slices.ContainsFunc(matches, func(m match) bool { return general(m.fault) == 0 && slices.ContainsFunc(m.evidence.Steps, surely) }) {
		return -1
	}
	return 1
}

// shown returns the step at which somebody was shown a reference, or nil.
func (c *Case) shown(reference string) *trace.Step {
	if reference == "" {
		return nil
	}
	for i := range c.Steps {
		if c.Steps[i].Reference == reference {
			return &c.Steps[i]
		}
	}
	return nil
}

// later is 1 if evidence is about the step.
func later(e *Evidence, s *trace.Step) int {
	if s != nil && slices.Contains(e.Steps, s) {
		return 1
	}
	return 0
}

func (e *Evidence) end() (end time.Time) {
	for _, s := range e.Steps {
		if s.End().After(end) {
			end = s.End()
		}
	}
	return end
}

// strangers reports whether a step may be that of another client than the trace is of.
func strangers(s *trace.Step) bool { return s != nil && s.Join == trace.Possible }

// words replaces the names in a text. Of what may have been another client, it names the
// program alone.
func (c *Case) words(e *Evidence) *strings.Replacer {
	if n := len(e.Steps); n > 0 && strangers(e.Steps[n-1]) {
		t := *c.Trace
		t.ClientName, t.Person, t.Servers = "", "", nil
		c = &Case{Trace: &t}
	}
	step := new(trace.Step)
	for _, s := range e.Steps { // the last that says something counts
		step.Server, step.Provider = cmp.Or(s.Server, step.Server), cmp.Or(s.Provider, step.Provider)
		step.Origin, step.Cause = cmp.Or(s.Origin, step.Origin), cmp.Or(s.Cause, step.Cause)
		step.Detail, step.Kind = cmp.Or(s.Detail, step.Detail), s.Kind
	}
	server := printable(cmp.Or(step.Server, strings.Join(c.Servers, ", ")))
	return strings.NewReplacer(
		"{client}", c.client(), "{server}", cmp.Or(quoted(server), "the MCP server"), "{id}", cmp.Or(server, "SERVER"), "{person}", cmp.Or(printable(c.Person), "the person"), "{whom}", cmp.Or(inert.Shell(c.Person), "PERSON"),
		"{provider}", cmp.Or(printable(step.Provider), behind(server)), "{origin}", cmp.Or(printable(step.Origin), "of the web page"),
		"{address}", printable(c.Address), "{site}", c.Site, "{cause}", cmp.Or(plain(step.Cause), "nothing more is known"),
		"{event}", cmp.Or(messageOf(step.Kind), "it is not known why"), "{detail}", cmp.Or(printable(strings.TrimSuffix(step.Detail, ".")), "no more than that"),
		"{refusal}", cmp.Or(printable(strings.TrimSuffix(step.Detail, ".")), messageOf(step.Kind)),
	)
}

// sentence puts names into a text, which then begins with a capital letter, unless it
// begins with a name.
func sentence(text string, names *strings.Replacer) string {
	text = names.Replace(text)
	if !strings.HasPrefix(text, "the ") {
		return text
	}
	return "T" + text[1:]
}

// client names the client, as it names itself.
func (c *Case) client() string {
	program, _, _ := strings.Cut(c.Agent, " ")
	return cmp.Or(quoted(c.ClientName), printable(program), "the client")
}

// behind names the provider that a server has, when nothing is known of it.
func behind(server string) string {
	if server == "" {
		return "the provider"
	}
	return "the provider or MCP server behind " + quoted(server)
}

// ours are the names of our packages in the texts of errors.
var ours = strings.NewReplacer("egress: ", "", "authz: ", "", "strictjson: ", "", "mcp_oauth: ", "")

// plain returns the text of an error as people read it.
func plain(cause string) string { return printable(ours.Replace(cause)) }

func quoted(text string) string {
	if text == "" {
		return ""
	}
	return "“" + printable(text) + "”"
}

// printable returns a text that strangers wrote, without what would move a
// terminal's cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, text)
}

// sure tells how the steps were joined.
func (c *Case) sure() string {
	var likely, possible int
	for _, s := range c.Steps {
		switch s.Join {
		case trace.Likely:
			likely++
		case trace.Possible:
			possible++
		}
	}
	switch {
	case possible > 0:
		return fmt.Sprintf("Steps marked ? (%d) may be those of another client: several were at the same address at the time.", possible)
	case likely > 0:
		return fmt.Sprintf("Steps marked ~ (%d) name no sign-in. They were joined because they came from the same address within minutes, and no other client is known to have been there.", likely)
	}
	return "All steps name the same client or sign-in."
}
