package boltstore

import (
	"context"
	"encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

var benchNow = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// BenchmarkFsync is what the disk can do: the durable writes below are to be
// read against it.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	for b.Loop() {
		if _, err := f.WriteAt(page, 0); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "fsync/s")
}

// BenchmarkUseOnce is one small durable write per call.
func BenchmarkUseOnce(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			s := kv.New(benchEngine(b))
			var n atomic.Uint64
			inParallel(b, callers, func() error {
				var h storage.Hash
				binary.BigEndian.PutUint64(h[:], n.Add(1)*0x9e3779b97f4a7c15)
				_, err := s.UseOnce(context.Background(), h, benchNow.Add(time.Hour), benchNow)
				return err
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}

// BenchmarkRotate is a refresh: five records read, five written, one fsync.
func BenchmarkRotate(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			e := benchEngine(b)
			fill(b, e, 1000)
			s := kv.New(e)
			var n atomic.Uint64
			inParallel(b, callers, func() error {
				g := n.Add(1)
				now := benchNow.Add(time.Duration(g/1000) * 10 * time.Minute)
				r := rotation(g%1000, g/1000, now)
				res, err := s.RotateRefreshToken(context.Background(), r)
				if err == nil && res.Verdict == storage.Unknown { // its predecessor is still under way
					return nil
				}
				if err == nil && res.Verdict != storage.OK {
					err = fmt.Errorf("verdict %v", res.Verdict)
				}
				return err
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rotations/s")
		})
	}
}

// BenchmarkAccessToken is the read of a call that the gate has not cached.
func BenchmarkAccessToken(b *testing.B) {
	for _, grants := range []uint64{1_000, 1_000_000} {
		b.Run(fmt.Sprint("grants=", grants), func(b *testing.B) {
			e := benchEngine(b)
			multiply(b, e, grants)
			s := kv.New(e)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				h := benchHash("a", mathrand.Uint64N(grants), 0)
				if _, err := s.AccessToken(ctx, h, benchNow); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if info, err := os.Stat(e.db.path); err == nil {
				b.ReportMetric(float64(info.Size())/float64(grants), "file-B/grant")
			}
		})
	}
}

func benchEngine(b *testing.B) *engine {
	b.Helper()
	e, err := openEngine(filepath.Join(b.TempDir(), "mcp_oauth.db"), Options{}, bbolt.Options{})
	return oauthtest.Closing(b, e, err)
}

// inParallel runs b.N calls in so many goroutines.
func inParallel(b *testing.B, callers int, call func() error) {
	b.Helper()
	work := make(chan struct{}, callers)
	failed := make(chan error, callers)
	b.ResetTimer()
	for range callers {
		go func() {
			var err error
			for range work {
				if e := call(); e != nil {
					err = e
				}
			}
			failed <- err
		}()
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	for range callers {
		if err := <-failed; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
}
