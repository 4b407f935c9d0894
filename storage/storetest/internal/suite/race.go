package suite

import (
	"maps"
	"slices"
	"sync"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	Racers = 32
	Rounds = 200
)

// Race lets all racers go at once and returns the one that got OK.
func (f *Fixture) Race(run func(n int) storage.Verdict) int {
	f.Helper()
	verdicts := make([]storage.Verdict, Racers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for n := range Racers {
		wg.Go(func() {
			<-start
			verdicts[n] = run(n)
		})
	}
	close(start)
	wg.Wait()
	winner, winners := -1, 0
	for n, v := range verdicts {
		if v == storage.OK {
			winner = n
			winners++
		}
	}
	if winners != 1 {
		f.Fatalf("%d winners", winners)
	}
	return winner
}

// Raced reports a verdict that no racer may get.
func (f *Fixture) Raced(v storage.Verdict, err error, allowed ...storage.Verdict) storage.Verdict {
	if err != nil {
		f.Errorf("racer failed: %v", err)
		return storage.Unknown
	}
	for _, a := range allowed {
		if v == a {
			return v
		}
	}
	f.Errorf("racer got verdict %v", v)
	return storage.Unknown
}

// Together lets all racers go at once and waits for them.
func (f *Fixture) Together(run func(n int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for n := range Racers {
		wg.Go(func() {
			<-start
			run(n)
		})
	}
	close(start)
	wg.Wait()
}

// One of the names that exist, or one that does not.
func One[T any](t *rapid.T, names map[string]T, what string) string {
	return rapid.SampledFrom(append(slices.Sorted(maps.Keys(names)), "unknown")).Draw(t, what)
}
