package trial

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
)

// Try calls f as a part of the test that may fail, and returns what it failed with.
func Try(t testing.TB, f func(testing.TB)) error {
	tried := &trial{TB: t}
	guard(func() { f(tried) })
	return tried.failure
}

type trial struct {
	testing.TB
	failure error
}

func (t *trial) Helper() {}

func (t *trial) fail(text string) { t.failure = errors.Join(t.failure, errors.New(text)) }

func (t *trial) Failed() bool                 { return t.failure != nil }
func (t *trial) Error(args ...any)            { t.fail(fmt.Sprint(args...)) }
func (t *trial) Errorf(f string, args ...any) { t.fail(fmt.Sprintf(f, args...)) }
func (t *trial) FailNow()                     { t.fail("it failed"); runtime.Goexit() }
func (t *trial) Fatal(args ...any)            { t.Error(args...); runtime.Goexit() }
func (t *trial) Fatalf(f string, args ...any) { t.Errorf(f, args...); runtime.Goexit() }
