package boltstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// hold keeps a caller in its transaction until release is called, so that
// a test can let calls queue up.
func hold(t *testing.T, e *engine) (release func()) {
	t.Helper()
	entered, leave, left := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		left <- e.Update(background(), func(kv.Tx) error {
			close(entered)
			<-leave
			return nil
		})
	}()
	<-entered
	return func() {
		close(leave)
		if err := <-left; err != nil {
			t.Error(err)
		}
	}
}

// queued waits until n calls wait for their turn.
func queued(e *engine, n int) {
	for {
		e.mu.Lock()
		got := len(e.queue)
		e.mu.Unlock()
		if got == n {
			return
		}
		runtime.Gosched()
	}
}

func put(key string) func(kv.Tx) error {
	return func(t kv.Tx) error { return t.Put([]byte(key), []byte("v")) }
}

func has(t *testing.T, e *engine, key string) (found bool) {
	t.Helper()
	err := e.View(background(), func(r kv.Reader) error {
		found = r.Get([]byte(key)) != nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestWaitingCallsShareATransaction(t *testing.T) {
	e := tempEngine(t)
	release := hold(t, e)
	const callers = 50
	transactions := make([]int, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			err := e.Update(background(), func(t kv.Tx) error {
				transactions[i] = t.(*tx).ID()
				return put(fmt.Sprint("key ", i))(t)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	queued(e, callers)
	release()
	wg.Wait()
	for i, id := range transactions {
		if id != transactions[0] {
			t.Fatalf("transactions %v", transactions)
		}
		if !has(t, e, fmt.Sprint("key ", i)) {
			t.Fatalf("write %d is lost", i)
		}
	}
}

func TestOneFailureTakesNobodyDown(t *testing.T) {
	e := tempEngine(t)
	failure := errors.New("failure")
	release := hold(t, e)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := e.Update(background(), put(fmt.Sprint("good ", i))); err != nil {
				t.Errorf("good call: %v", err)
			}
		})
	}
	for i := range 3 {
		wg.Go(func() {
			err := e.Update(background(), func(t kv.Tx) error {
				_ = t.Put(fmt.Appendf(nil, "bad %d", i), nil)
				return failure
			})
			if err != failure {
				t.Errorf("failing call: %v", err)
			}
		})
		wg.Go(func() {
			err := e.Update(background(), func(t kv.Tx) error {
				_ = t.Put(fmt.Appendf(nil, "panic %d", i), nil)
				panic("bug")
			})
			if err == nil || !strings.Contains(err.Error(), "bug") || !strings.Contains(err.Error(), "committer_test.go") {
				t.Errorf("the panic, and where it was, did not reach its caller: %v", err)
			}
		})
		wg.Go(func() {
			err := e.Update(background(), func(kv.Tx) error { return failure }) // before it wrote
			if err != failure {
				t.Errorf("refusing call: %v", err)
			}
		})
	}
	queued(e, 19)
	release()
	wg.Wait()
	for i := range 10 {
		if !has(t, e, fmt.Sprint("good ", i)) {
			t.Errorf("write %d is lost", i)
		}
	}
	for i := range 3 {
		if has(t, e, fmt.Sprint("bad ", i)) || has(t, e, fmt.Sprint("panic ", i)) {
			t.Error("a write of a failed call stayed")
		}
	}
}

func TestContextEndsWhileWaiting(t *testing.T) {
	e := tempEngine(t)
	release := hold(t, e)
	ctx, cancel := context.WithCancel(background())
	outcome := make(chan error)
	go func() { outcome <- e.Update(ctx, put("key")) }()
	queued(e, 1)
	cancel()
	if err := <-outcome; !errors.Is(err, context.Canceled) {
		t.Errorf("Update: %v", err)
	}
	queued(e, 0)
	release()
	if err := e.Update(background(), put("next")); err != nil {
		t.Fatal(err)
	}
	if has(t, e, "key") {
		t.Error("a call that was withdrawn ran")
	}
}

func TestContextEndsWhileRunning(t *testing.T) {
	e := tempEngine(t)
	release := hold(t, e)
	outcomes := make(chan error)
	for i, key := range []string{"leads", "follows"} {
		ctx, cancel := context.WithCancel(background())
		go func() {
			outcomes <- e.Update(ctx, func(t kv.Tx) error {
				cancel()
				return put(key)(t)
			})
		}()
		queued(e, i+1)
	}
	release()
	for range 2 {
		if err := <-outcomes; err != nil {
			t.Errorf("Update: %v; the outcome must be the transaction's", err)
		}
	}
	if !has(t, e, "leads") || !has(t, e, "follows") {
		t.Error("a write is lost")
	}
	ended, cancel := context.WithCancel(background())
	cancel()
	if err := e.Update(ended, put("never")); !errors.Is(err, context.Canceled) {
		t.Errorf("Update with an ended context: %v", err)
	}
}

// Whenever a context ends, no error means stored and an error means not.
func TestContextEndsAnyTime(t *testing.T) {
	e := tempEngine(t)
	const callers, calls = 32, 50
	errs := make([]error, callers*calls)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := caller; i < len(errs); i += callers {
				ctx, cancel := context.WithCancel(background())
				go cancel()
				errs[i] = e.Update(ctx, put(fmt.Sprint("key ", i)))
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if has(t, e, fmt.Sprint("key ", i)) != (err == nil) {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if err := e.Update(background(), put("last")); err != nil {
		t.Fatal(err)
	}
}

// A call that was told to lead must: the others wait for it.
func TestLeaderCannotWithdraw(t *testing.T) {
	c := newCommitter(nil)
	first, second := &call{woken: make(chan struct{})}, &call{woken: make(chan struct{})}
	for _, x := range []*call{first, second} {
		if err := c.enqueue(x); err != nil {
			t.Fatal(err)
		}
	}
	if c.withdraw(first) {
		t.Error("the leader withdrew")
	}
	if !c.withdraw(second) {
		t.Error("a call that waits could not withdraw")
	}
}

func TestCloseWaitsForCalls(t *testing.T) {
	e := tempEngine(t)
	release := hold(t, e)
	outcome := make(chan error)
	go func() { outcome <- e.Update(background(), put("key")) }()
	queued(e, 1)
	done := make(chan error)
	go func() { done <- e.Close() }()
	for ended := false; !ended; runtime.Gosched() {
		e.mu.Lock()
		ended = e.ended
		e.mu.Unlock()
	}
	if err := e.Update(background(), put("late")); err != storage.ErrClosed {
		t.Errorf("Update while closing: %v", err)
	}
	release()
	if err := <-outcome; err != nil {
		t.Errorf("call that waited when Close came: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRefusalsCostNoCommit(t *testing.T) {
	e := tempEngine(t)
	last := func() (id int) { // of the transaction that was committed last
		err := e.View(background(), func(r kv.Reader) error {
			id = r.(*tx).ID()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	before := last()
	for range 10 {
		if err := e.Update(background(), func(t kv.Tx) error { t.Get([]byte("key")); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if n := last() - before; n != 0 {
		t.Errorf("%d commits", n)
	}
	if err := e.Update(background(), put("key")); err != nil {
		t.Fatal(err)
	}
	if last() == before {
		t.Error("the probe does not see commits")
	}
}
