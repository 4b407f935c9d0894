package simulation

import (
	"context"
	"sync"
)

// race makes calls at once, a few at a time, each in a goroutine of its own.
func (s *schedule) race(steps int) error {
	for calls := 0; calls < steps; {
		if err := s.wait(); err != nil {
			return err
		}
		var racers sync.WaitGroup
		var mu sync.Mutex // of the history, and of what callers know
		var failed error
		for range 2 + s.rng.IntN(4) {
			i := s.instances[s.rng.IntN(len(s.instances))]
			mu.Lock()
			op := s.world.Next() // made up while the one before is at work
			mu.Unlock()
			if op.Alone {
				continue
			}
			calls++
			begun := make(chan struct{})
			racers.Go(func() {
				mu.Lock()
				r := s.begin(op, i)
				mu.Unlock()
				close(begun)
				got := r.Do(context.Background(), i.store, i.clock)
				mu.Lock()
				defer mu.Unlock()
				if err := s.finish(r, got); err != nil {
					failed = err
				}
			})
			<-begun
		}
		racers.Wait()
		if failed != nil {
			return failed
		}
	}
	return nil
}
