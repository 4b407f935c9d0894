package main

import (
	"context"
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// sweeping is how a sweep went, and how long others waited.
type sweeping struct {
	removed       int
	took          time.Duration
	alone, beside []time.Duration // writes of somebody else
}

// sweepBesideWrites sweeps while somebody writes one small record after the other.
func sweepBesideWrites(ctx context.Context, o old) (s sweeping, err error) {
	store, err := o.open()
	if err != nil {
		return s, err
	}
	defer func() { _ = store.Close() }()
	now := time.Now()
	n := 0
	write := func(to *[]time.Duration) error {
		n++
		return timed(to, func() error {
			_, err := store.UseOnce(ctx, storage.Hash([]byte(fmt.Sprintf("%032d", n))), now.Add(time.Hour), now)
			return err
		})
	}
	for began := time.Now(); time.Since(began) < 3*time.Second; {
		if err := write(&s.alone); err != nil {
			return s, err
		}
	}
	swept := make(chan error, 1)
	began := time.Now()
	go func() {
		var err error
		s.removed, err = store.Sweep(ctx, now)
		s.took = time.Since(began)
		swept <- err
	}()
	for {
		select {
		case err := <-swept:
			if err != nil {
				return s, err
			}
			return s, o.vacuum()
		default:
		}
		if err := write(&s.beside); err != nil {
			return s, err
		}
	}
}
