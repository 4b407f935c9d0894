package event

import (
	"strings"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

// What the log has of one cause, which is a kind with its reason, in a window.
const (
	window = time.Minute
	// linesPerSender is for one cause, server and block of addresses.
	linesPerSender = 20
	// linesPerCause is for one cause, whoever sends it.
	linesPerCause = 100
	// warningsPerCause is how many different things an operator is warned of for one
	// cause.
	warningsPerCause = 10
)

// cause is what counts as the same.
type cause struct {
	kind   Kind
	reason string
	server string
	sender string // block of addresses; empty for the cause itself
}

// warned is what an operator is warned of once in a window.
type warned struct {
	kind                            Kind
	reason, server, provider, grant string
}

// counted is what a window has of a cause.
type counted struct {
	lines, warnings int
	// reference of the last line that has one, for those that get no line.
	reference string
	more      int // those
}

// floods bounds what of one cause is in the log: how often an operator is warned,
// and how many lines anybody can write. A cause is remembered only with a line that
// was written, so memory is bounded by the lines.
type floods struct {
	block func(address string) string

	mu     sync.Mutex
	began  time.Time // the window
	counts map[cause]*counted
	warned map[warned]bool
	timed  bool // the end of the window is awaited
}

// admit decides what the log has of an event. If that is nothing, the event gets the
// reference of a line that the log has.
func (f *floods) admit(r *Recorder, e *Event) {
	e.Level = e.Kind.Level()
	if !e.Kind.bounded() {
		return
	}
	f.mu.Lock()
	ended := f.turn(e.Time)
	f.count(r, e)
	f.mu.Unlock()
	r.tellSuppressed(ended, e.Time)
}

// count counts an event in its window.
func (f *floods) count(r *Recorder, e *Event) {
	all := cause{kind: e.Kind, reason: e.Reason}
	total := f.counts[all]
	if total == nil {
		total = new(counted)
		f.counts[all] = total
	}
	if f.warns(e, total) {
		return
	}
	e.Level = zapcore.InfoLevel
	one := cause{e.Kind, e.Reason, e.Server, "from " + e.Address}
	if f.block != nil {
		one.sender = "from " + f.block(e.Address)
	}
	sender := f.counts[one]
	full := total
	switch {
	case sender != nil && sender.lines >= linesPerSender:
		full = sender
	case total.lines < linesPerCause:
		if sender == nil {
			sender = new(counted)
			f.counts[one] = sender
		}
		total.lines++
		sender.line(e)
		return
	}
	if full.reference == "" && e.Reference != "" { // it stands for all that follow
		full.line(e)
		return
	}
	full.more++
	e.Level, e.Repeats = zapcore.DebugLevel, true
	if e.Reference != "" {
		e.Reference = full.reference
	}
	if !f.timed {
		f.timed = true
		time.AfterFunc(window, r.endWindow)
	}
}

// line notes that an event has a line.
func (c *counted) line(e *Event) {
	c.lines++
	if e.Reference != "" {
		c.reference = e.Reference
	}
}

// warns reports whether an event is one that the operator is warned of, and was not
// in this window.
func (f *floods) warns(e *Event, total *counted) bool {
	if e.Level < zapcore.WarnLevel || e.Known || total.warnings >= warningsPerCause {
		return false
	}
	what := warned{e.Kind, e.Reason, e.Server, e.Provider, e.Grant}
	if f.warned[what] {
		return false
	}
	f.warned[what] = true
	total.warnings++
	return true
}

// turn begins a new window if it is time, and returns what the old one left out.
func (f *floods) turn(now time.Time) map[cause]*counted {
	if f.counts != nil && now.Sub(f.began) < window {
		return nil
	}
	ended := f.counts
	f.began, f.counts, f.warned = now, map[cause]*counted{}, map[warned]bool{}
	return ended
}

// endWindow tells what a window left out, though nothing more happens.
func (r *Recorder) endWindow() {
	now := r.now()
	r.floods.mu.Lock()
	r.floods.timed = false
	ended := r.floods.turn(now)
	r.floods.mu.Unlock()
	r.tellSuppressed(ended, now)
}

// tellSuppressed records how many events of a window got no line.
func (r *Recorder) tellSuppressed(ended map[cause]*counted, now time.Time) {
	for c, n := range ended {
		if n.more == 0 {
			continue
		}
		e := Event{
			Time: now, Kind: Suppressed, Level: Suppressed.Level(), Site: r.site, Reference: n.reference, Count: n.more,
			Server: c.server, Reason: c.reason, Detail: c.kind.String(),
		}
		if c.sender != "" {
			e.Address = strings.TrimPrefix(c.sender, "from ")
		}
		r.tell(&e)
	}
}
