package process

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// thing counts how often it was closed.
type thing struct{ closed int }

func (t *thing) Destruct() error {
	t.closed++
	return nil
}

// opener is told what to do with each opening.
type opener struct {
	t       *testing.T
	begun   int
	goesOn  bool
	ends    chan error
	opened  thing
	percent int64
}

func (o *opener) open(ctx context.Context, progress func(int64)) (*thing, error) {
	if o.goesOn {
		o.t.Error("two openings at once")
	}
	o.begun++
	o.goesOn = true
	defer func() { o.goesOn = false }()
	if o.percent > 0 {
		progress(o.percent)
	}
	if err := <-o.ends; err != nil { // whether or not anybody wants it
		return nil, err
	}
	return &o.opened, nil
}

// waiting is who has joined.
type waiting struct {
	*Shared[*thing]
	slow  bool
	value *thing
	err   error
	leave context.CancelFunc
}

// inPool runs a test, in which join joins and waits, as a configuration does.
func inPool(t *testing.T, percent int64, test func(t *testing.T, p *Pool[*thing], o *opener, join func() *waiting)) {
	synctest.Test(t, func(t *testing.T) {
		p, o := NewPool[*thing](), &opener{t: t, ends: make(chan error), percent: percent}
		test(t, p, o, func() *waiting {
			ctx, cancel := context.WithCancel(t.Context())
			w := &waiting{Shared: p.Join("key", o.open), err: errors.New("it waits"), leave: cancel}
			go func() {
				w.value, w.err = w.Wait(ctx, func() { w.slow = true })
				if w.err != nil {
					_ = w.Leave()
				}
			}()
			synctest.Wait()
			return w
		})
		synctest.Wait()
		if len(p.shared) != 0 {
			t.Errorf("%d are left", len(p.shared))
		}
	})
}

// All have the same, opened once, and closed by the last to leave.
func TestPoolShares(t *testing.T) {
	inPool(t, 0, func(t *testing.T, p *Pool[*thing], o *opener, join func() *waiting) {
		all := []*waiting{join(), join()}
		o.ends <- nil
		synctest.Wait()
		all = append(all, join())
		if n := p.Users("key"); n != 3 {
			t.Errorf("%d users, want 3", n)
		}
		for i, w := range all {
			if w.value != &o.opened || w.err != nil || w.slow {
				t.Errorf("user %d: %v, %v, slow: %t", i, w.value, w.err, w.slow)
			}
			if o.opened.closed != 0 {
				t.Errorf("it is closed before user %d left", i)
			}
			if err := w.Leave(); err != nil {
				t.Error(err)
			}
		}
		if o.begun != 1 || o.opened.closed != 1 {
			t.Errorf("opened %d times, closed %d times", o.begun, o.opened.closed)
		}
	})
}

// Who joins late hears at once that the opening takes long, and goes on with it when who
// began it leaves.
func TestPoolTellsWhoJoinsLate(t *testing.T) {
	inPool(t, 40, func(t *testing.T, _ *Pool[*thing], o *opener, join func() *waiting) {
		first, second := join(), join()
		first.leave()
		synctest.Wait()
		if !second.slow || second.Percent() != 40 || !errors.Is(first.err, context.Canceled) {
			t.Errorf("slow: %t, %d %%, the first: %v", second.slow, second.Percent(), first.err)
		}
		o.ends <- nil
		synctest.Wait()
		if third := join(); third.slow || third.err != nil || third.Leave() != nil {
			t.Errorf("when it is open: slow: %t, %v", third.slow, third.err)
		}
		if second.err != nil || second.Leave() != nil || o.begun != 1 {
			t.Errorf("%v after %d openings", second.err, o.begun)
		}
	})
}

// A failure is everybody's, and is tried again by who joins then.
func TestPoolTriesAgain(t *testing.T) {
	inPool(t, 0, func(t *testing.T, _ *Pool[*thing], o *opener, join func() *waiting) {
		broken := errors.New("broken")
		first, second := join(), join()
		o.ends <- broken
		synctest.Wait()
		third := join()
		o.ends <- nil
		synctest.Wait()
		if !errors.Is(first.err, broken) || !errors.Is(second.err, broken) || third.err != nil || third.Leave() != nil {
			t.Errorf("%v, %v, %v", first.err, second.err, third.err)
		}
	})
}

// An opening that nobody wants is told to end, and closed if it does not. Who wants it
// then waits for that, knowing how far it is, and begins anew.
func TestPoolBeginsAnew(t *testing.T) {
	for name, end := range map[string]error{"heeded": context.Canceled, "not heeded": nil} {
		t.Run(name, func(t *testing.T) {
			inPool(t, 40, func(t *testing.T, p *Pool[*thing], o *opener, join func() *waiting) {
				for range 2 { // the second never begins
					w := join()
					w.leave()
					synctest.Wait()
					if p.Users("key") != 0 {
						t.Error("somebody has it")
					}
				}
				last := join()
				if !last.slow || last.Percent() != 40 || o.begun != 1 {
					t.Errorf("slow: %t, %d %%, %d begun", last.slow, last.Percent(), o.begun)
				}
				o.ends <- end
				synctest.Wait()
				if end == nil && o.opened.closed != 1 {
					t.Errorf("what nobody wants was closed %d times", o.opened.closed)
				}
				o.ends <- nil
				synctest.Wait()
				if last.err != nil || last.Leave() != nil || o.begun != 2 {
					t.Errorf("%v after %d openings", last.err, o.begun)
				}
			})
		})
	}
}
