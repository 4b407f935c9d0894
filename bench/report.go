package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// row is one line of the result: a value, what it is measured against, and
// whether it reached its target.
type row struct {
	what   string
	value  string
	plain  string // the same of plain Caddy, if that exists
	target string
	met    verdict
}

// verdict tells whether a target was reached.
type verdict string

const (
	met    verdict = "yes"
	missed verdict = "NO"
	noGoal verdict = ""
)

func verdictOf(ok bool) verdict {
	if ok {
		return met
	}
	return missed
}

// report collects the rows, and the series that are drawn.
type report struct {
	rows   []row
	charts []chart
	out    io.Writer
}

func (r *report) add(rows ...row) { r.rows = append(r.rows, rows...) }

// progress tells what is being measured.
func (r *report) progress(format string, args ...any) {
	_, _ = fmt.Fprintf(r.out, "· "+format+"\n", args...)
}

// table prints the rows.
func (r *report) table() {
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nmeasured\tgate\tplain Caddy\ttarget\tmet")
	_, _ = fmt.Fprintln(w, "--------\t----\t-----------\t------\t---")
	for _, row := range r.rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", row.what, row.value, row.plain, row.target, row.met)
	}
	_ = w.Flush()
}

// missed returns how many targets were not reached.
func (r *report) missed() int {
	n := 0
	for _, row := range r.rows {
		if row.met == missed {
			n++
		}
	}
	return n
}
