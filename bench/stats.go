package main

import (
	"math"
	"slices"
	"time"
)

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
