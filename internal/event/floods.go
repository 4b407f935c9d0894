package event

import (
	"sync"
	"time"
)

// What the log has of one cause, which is a kind with its reason, in a window.
const (
	window = time.Minute
	// linesPerSender is for one cause, server and block of addresses.
	linesPerSender = 20
	// linesPerCause is for one cause, whoever sends it.
	linesPerCause = 100
)

// cause is what counts as the same.
type cause struct {
	kind   Kind
	reason string
	server string
	sender string // block of addresses; empty for the cause itself
}

// counted is what a window has of a cause.
type counted struct {
	lines int
	// reference of the last line, for those that get no line.
	reference string
	more      int // those
}

// floods bounds how many lines anybody can write into the log. A cause is
// remembered only with a line that was written, so memory is bounded by the lines.
type floods struct {
	block func(address string) string

	mu     sync.Mutex
	began  time.Time // the window
	counts map[cause]*counted
	timed  bool // the end of the window is awaited
}

// admit decides whether an event gets a line. If not, it gets the reference of a
// line that the log has.
func (f *floods) admit(r *Recorder, e *Event) {
	if !kinds[e.Kind].anybody {
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
	one := cause{e.Kind, e.Reason, e.Server, " "}
	if f.block != nil {
		one.sender += f.block(e.Address)
	}
	total, sender := f.counts[all], f.counts[one]
	if total == nil {
		total = new(counted)
		f.counts[all] = total
	}
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
		sender.lines++
		sender.reference = e.Reference
		return
	case total.reference == "": // the line that stands for all that follow
		total.reference = e.Reference
		return
	}
	full.more++
	e.Repeats = true
	if e.Reference != "" && full.reference != "" {
		e.Reference = full.reference
	}
	if !f.timed {
		f.timed = true
		time.AfterFunc(window, func() { r.endWindow() })
	}
}

// turn begins a new window if it is time, and returns what the old one left out.
func (f *floods) turn(now time.Time) map[cause]*counted {
	if f.counts != nil && now.Sub(f.began) < window {
		return nil
	}
	ended := f.counts
	f.began, f.counts = now, map[cause]*counted{}
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
			Time: now, Kind: Suppressed, Site: r.site, Reference: n.reference, Count: n.more,
			Server: c.server, Reason: c.reason, Detail: c.kind.String(),
		}
		if c.sender != "" {
			e.Address = c.sender[1:]
		}
		r.tell(&e)
	}
}
