package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"
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

// quantile returns the q-quantile of sorted values.
func quantile[T any](sorted []T, q float64) T {
	if len(sorted) == 0 {
		var zero T
		return zero
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// median returns the middle of values in any order.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	switch {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return sorted[n/2]
	default:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
}

// medianInterval returns a 95 % confidence interval of the median, from order
// statistics: it assumes nothing about how the noise is distributed.
func medianInterval(values []float64) (low, high float64) {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	half := 0.98 * math.Sqrt(float64(n))
	first := max(int(math.Floor(float64(n)/2-half)), 0)
	last := min(int(math.Ceil(float64(n)/2+half)), n-1)
	return sorted[first], sorted[last]
}

// milliseconds renders a latency.
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// microseconds renders a CPU time.
func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// sortedDurations returns all durations in one sorted slice.
func sortedDurations(parts [][]time.Duration) []time.Duration {
	all := slices.Concat(parts...)
	slices.Sort(all)
	return all
}

// firstError returns the first error there is, or nil.
func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
