package programs

import (
	"context"
	"fmt"
	"regexp"
	"sync"
)

// Output collects what a process prints and lets a test wait for a piece of
// it. It is the process's stdout and stderr at once.
type Output struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{}
	ended   bool
}

func newOutput() *Output { return &Output{changed: make(chan struct{})} }

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	o.announce()
	return len(p), nil
}

// end says that nothing will follow.
func (o *Output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.announce()
}

func (o *Output) announce() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// String returns everything so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// Tail returns the last part, to show in a failure.
func (o *Output) Tail() string {
	text := o.String()
	return text[max(0, len(text)-8000):]
}

// Await returns the first match of re and its groups, as soon as there is one.
func (o *Output) Await(ctx context.Context, re *regexp.Regexp) ([]string, error) {
	for {
		o.mu.Lock()
		match, ended, changed := re.FindSubmatch(o.text), o.ended, o.changed
		var groups []string
		for _, m := range match {
			groups = append(groups, string(m))
		}
		o.mu.Unlock()
		if match != nil {
			return groups, nil
		}
		if ended {
			return nil, fmt.Errorf("the process ended without printing %s; it printed:\n%s", re, o.Tail())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("not printed in time: %s; printed so far:\n%s", re, o.Tail())
		}
	}
}
