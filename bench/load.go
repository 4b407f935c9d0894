package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// requests yields the next request of one worker. The bytes are valid until
// the next call.
type requests func(worker int) func() []byte

// load is a closed loop of workers against one site of a gateway, each with
// one connection and one request in flight.
type load struct {
	pids     []int // the gateway's
	addr     string
	dial     func(addr string) (client, error) // nil for HTTP/1.1 without TLS
	workers  int
	requests requests
	want     int // the status that every answer must have
}

// sample is what a load did within a window.
type sample struct {
	requests int
	elapsed  time.Duration
	cpu      time.Duration   // of the gateway
	latency  []time.Duration // sorted
}

func (s sample) rate() float64 { return float64(s.requests) / s.elapsed.Seconds() }

func (s sample) cpuPerRequest() time.Duration { return s.cpu / time.Duration(max(s.requests, 1)) }

// Phases of a load.
const (
	warming int32 = iota
	measuring
	done
)

// runWindow runs the loads at the same time and measures all of them over the same
// window.
func runWindow(warm, window time.Duration, loads ...load) ([]sample, error) {
	var phase atomic.Int32
	var wg sync.WaitGroup
	latencies := make([][][]time.Duration, len(loads))
	errs := make([][]error, len(loads))
	for i, l := range loads {
		latencies[i] = make([][]time.Duration, l.workers)
		errs[i] = make([]error, l.workers)
		for w := range l.workers {
			wg.Go(func() { latencies[i][w], errs[i][w] = l.work(w, &phase) })
		}
	}

	samples := make([]sample, len(loads))
	readCPU := func(add func(*sample, time.Duration)) error {
		for i, l := range loads {
			for _, pid := range l.pids {
				cpu, err := processCPU(pid)
				if err != nil {
					return err
				}
				add(&samples[i], cpu)
			}
		}
		return nil
	}
	time.Sleep(warm)
	err := readCPU(func(s *sample, cpu time.Duration) { s.cpu -= cpu })
	start := time.Now()
	phase.Store(measuring)
	time.Sleep(window)
	phase.Store(done)
	elapsed := time.Since(start)
	if err == nil {
		err = readCPU(func(s *sample, cpu time.Duration) { s.cpu += cpu })
	}
	wg.Wait()
	if err == nil {
		err = firstError(slices.Concat(errs...))
	}
	if err != nil {
		return nil, err
	}
	for i := range samples {
		samples[i].elapsed = elapsed
		samples[i].latency = sortedDurations(latencies[i])
		samples[i].requests = len(samples[i].latency)
	}
	return samples, nil
}

// client sends requests, one after the other, as long as it is open.
type client interface {
	do(request []byte) (answer, error)
	close()
}

func (l load) connect() (client, error) {
	if l.dial != nil {
		return l.dial(l.addr)
	}
	return dial(l.addr)
}

// runCount sends n requests and measures nothing.
func (l load) runCount(n int) error {
	errs := make([]error, l.workers)
	var wg sync.WaitGroup
	for w := range l.workers {
		wg.Go(func() { errs[w] = l.send(w, n/l.workers) })
	}
	wg.Wait()
	return firstError(errs)
}

func (l load) send(worker, n int) error {
	c, err := l.connect()
	if err != nil {
		return err
	}
	defer c.close()
	next := l.requests(worker)
	for range n {
		if err := l.check(c.do(next())); err != nil {
			return err
		}
	}
	return nil
}

// work is one worker until the load is done. It returns the latencies of the
// requests that began within the window.
func (l load) work(worker int, phase *atomic.Int32) ([]time.Duration, error) {
	c, err := l.connect()
	if err != nil {
		return nil, err
	}
	defer c.close()
	next := l.requests(worker)
	latency := make([]time.Duration, 0, 1<<14)
	for {
		before := phase.Load()
		if before == done {
			return latency, nil
		}
		start := time.Now()
		if err := l.check(c.do(next())); err != nil {
			return nil, err
		}
		if before == measuring {
			latency = append(latency, time.Since(start))
		}
	}
}

func (l load) check(a answer, err error) error {
	if err != nil {
		return err
	}
	if a.status != l.want {
		return fmt.Errorf("%s answered %d, not %d: %.300s", l.addr, a.status, l.want, a.body)
	}
	return nil
}
