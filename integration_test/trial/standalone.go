package trial

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
)

// Standalone lets a program that is no test use this package: it calls f as if
// f were a test, cleans up after it, and returns the program's exit status.
func Standalone(f func(testing.TB)) (status int) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &standalone{ctx: ctx}
	guard(func() { f(s) })
	cancel()
	for _, cleanup := range slices.Backward(s.cleanups) {
		guard(cleanup)
	}
	if s.failed {
		return 1
	}
	return 0
}

// guard calls f, which Fatal may end early.
func guard(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// standalone is a test without go test. What is not here panics.
type standalone struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
	failed   bool
}

func (s *standalone) Helper()                  {}
func (s *standalone) Context() context.Context { return s.ctx }
func (s *standalone) Cleanup(f func())         { s.cleanups = append(s.cleanups, f) }

func (s *standalone) Log(args ...any)            { fmt.Fprintln(os.Stderr, args...) }
func (s *standalone) Logf(f string, args ...any) { s.Log(fmt.Sprintf(f, args...)) }

func (s *standalone) Error(args ...any)            { s.Log(args...); s.failed = true }
func (s *standalone) Errorf(f string, args ...any) { s.Error(fmt.Sprintf(f, args...)) }
func (s *standalone) Fatal(args ...any)            { s.Error(args...); runtime.Goexit() }
func (s *standalone) Fatalf(f string, args ...any) { s.Fatal(fmt.Sprintf(f, args...)) }

func (s *standalone) TempDir() string {
	dir, err := os.MkdirTemp("", "mcp-oauth-")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
