package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/bench/fill"
)

// measureColdStart measures when a gateway with many grants answers, and when it serves,
// after the system has forgotten its file, beside reading that file from beginning to
// end.
func measureColdStart(ctx context.Context, b *bench) error {
	home := filepath.Join(b.dir, "cold")
	path := filepath.Join(home, "mcp_oauth.db")
	records := inFile(home)
	with := b.in(&records)
	return with.withGateway(ctx, 0, func(g *gateway, _ []string) error {
		l := &longLived{bench: with, gateway: g}
		if err := l.prepare(); err != nil {
			return err
		}
		g.end()
		size := b.long
		size.Now, size.Expired = time.Now(), 0
		b.progress("cold start: filling in %d grants, %d clients", size.Grants, size.Clients)
		if err := fill.Bolt(path, size); err != nil {
			return err
		}
		if err := forgetFiles(); err != nil {
			b.progress("cold start: not measured, as only root can have the system forget files: %v", err)
			return nil
		}
		bytes, read, err := readThrough(path)
		if err != nil {
			return err
		}
		if err := forgetFiles(); err != nil {
			return err
		}
		began := time.Now()
		if err := g.launch(ctx); err != nil {
			return err
		}
		var a aged
		p, err := l.firstCall(&a, began)
		if err != nil {
			return err
		}
		p.close()
		call := time.Since(began)
		b.add(
			row{
				fmt.Sprintf("cold start with %d grants, %d MB: s until an answer", b.long.Grants, bytes>>20),
				fmt.Sprintf("%.2f", a.answered.Seconds()), "", "≤ 1", verdictOf(a.answered <= time.Second),
			},
			row{
				"  s until a call passes (one sequential read)", fmt.Sprintf("%.2f (%.2f)", call.Seconds(), read.Seconds()), "",
				"≤ 2 × read", verdictOf(call <= 2*read),
			},
		)
		return nil
	})
}

// forgetFiles has the system forget what it has of files in memory.
func forgetFiles() error {
	const control = "/proc/sys/vm/drop_caches"
	if _, err := os.Stat(control); err != nil {
		return errors.New("there is no " + control)
	}
	return os.WriteFile(control, []byte("3"), 0)
}

// readThrough reads a file from beginning to end.
func readThrough(path string) (bytes int64, took time.Duration, err error) {
	began := time.Now()
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = f.Close() }()
	bytes, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 4<<20))
	return bytes, time.Since(began), err
}
