package selfcheck

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Report is what a check found.
type Report struct {
	// Checked are the parts that were checked.
	Checked  []string
	findings []*finding
}

// finding is one thing that does not work, or may not.
type finding struct {
	refuse       bool
	level        zapcore.Level
	of           visit
	problem, fix string
	text         string // instead of these, if it is not about requests

	by       []string // directives that may do it
	requests []string
	where    string // those directives are
}

// maxNamed is how many requests a message names.
const maxNamed = 3

func (f *finding) String() string {
	where := ""
	if f.where != "" {
		where = "; see " + f.where
	}
	if f.text != "" {
		return f.text + where
	}
	named := f.requests[:min(len(f.requests), maxNamed)]
	more := ""
	if n := len(f.requests) - len(named); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("requests for %s%s %s; %s%s", strings.Join(named, ", "), more, f.problem, f.fix, where)
}

func (r *Report) add(part string) {
	if !slices.Contains(r.Checked, part) {
		r.Checked = append(r.Checked, part)
	}
}

// find adds a finding, to one of the same cause if there is one.
func (r *Report) find(f finding) {
	request := f.of.path
	if f.of.method != "" && f.of.method != "GET" {
		request = f.of.method + " " + request
	}
	for _, other := range r.findings {
		if other.text == f.text && other.problem == f.problem {
			other.refuse, other.level = other.refuse || f.refuse, max(other.level, f.level)
			other.requests = append(other.requests, request)
			return
		}
	}
	f.requests = []string{request}
	r.findings = append(r.findings, &f)
}

// finish puts the worst first, and adds the lines.
func (r *Report) finish(locate func([]string) string) {
	for _, f := range r.findings {
		f.where = locate(f.by)
	}
	slices.SortStableFunc(r.findings, func(a, b *finding) int { return b.weight() - a.weight() })
}

func (f *finding) weight() int {
	if f.refuse {
		return 2
	}
	if f.level >= zapcore.ErrorLevel {
		return 1
	}
	return 0
}

// worseThan compares two reports.
func (r *Report) worseThan(other *Report) int {
	count := func(r *Report) []int {
		n := make([]int, 3)
		for _, f := range r.findings {
			n[2-f.weight()]++
		}
		return n
	}
	return slices.Compare(count(r), count(other))
}

// Refusal returns why the configuration cannot work, or nil.
func (r *Report) Refusal() error {
	for _, f := range r.findings {
		if f.refuse {
			return errors.New(f.String())
		}
	}
	return nil
}

// Log tells what does not work, and what may not.
func (r *Report) Log(site string, log *zap.Logger) {
	for _, f := range r.findings {
		level := f.level
		if f.refuse {
			level = zapcore.ErrorLevel
		}
		log.Log(level, f.String(), zap.String("site", site))
	}
}
