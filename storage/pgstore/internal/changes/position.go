package changes

import (
	"slices"
	"time"
)

const (
	// window is how long a number that is missing is looked for: longer than a
	// transaction can take. Most that are missing were rolled back.
	window = 30 * time.Second
	// maxMissing bounds how many are.
	maxMissing = 10_000
)

// position is how far a watch has read.
type position struct {
	highest int64
	// missing are the numbers below it that were not there, and since when that is
	// known.
	missing map[int64]time.Time
}

// saw notes that a number was there, and reports whether that is new. Numbers that
// one statement found are noted in their order.
func (p *position) saw(number int64, now time.Time) bool {
	if number <= p.highest {
		_, late := p.missing[number]
		delete(p.missing, number)
		return late
	}
	for n := max(p.highest+1, number-maxMissing); n < number; n++ {
		if p.missing == nil {
			p.missing = map[int64]time.Time{}
		}
		p.missing[n] = now
	}
	p.highest = number
	return true
}

// lookFor returns the numbers that may still come.
func (p *position) lookFor(now time.Time) []int64 {
	numbers := make([]int64, 0, len(p.missing))
	for n, since := range p.missing {
		if now.Sub(since) > window {
			delete(p.missing, n)
			continue
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	if more := len(numbers) - maxMissing; more > 0 {
		numbers = numbers[more:]
	}
	return numbers
}
