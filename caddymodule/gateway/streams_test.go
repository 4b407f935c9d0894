package gateway

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Answers come and go in any order.
func TestStreamsAreForgotten(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}} {
		r := NewStreams()
		var all [3]stream
		for i := range all {
			all[i].ReadCloser = io.NopCloser(strings.NewReader(""))
			r.track(&all[i])
		}
		for left, i := range order {
			for range 2 { // closing twice does no harm
				_ = all[i].Close()
			}
			if got, want := len(r.snapshot()), 2-left; got != want || r.count != want {
				t.Errorf("order %v: %d left, counted %d, want %d", order, got, r.count, want)
			}
		}
	}
}

// When the process stops, a call may go on for a while, and an event stream may
// not.
func TestAnswersEndAfterTheGraceAtExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewStreams()
		read := func(events bool) *atomic.Value { // of the error, once there is one
			body, _ := io.Pipe()
			got := new(atomic.Value)
			s := r.track(&stream{ReadCloser: body, events: events})
			go func() {
				_, err := s.Read(make([]byte, 1))
				got.Store(err)
			}()
			return got
		}
		events, call := read(true), read(false)
		r.Close(StopGrace)
		synctest.Wait()
		if events.Load() != io.EOF || call.Load() != nil {
			t.Errorf("at once: event stream %v, call %v; want EOF, nil", events.Load(), call.Load())
		}
		late := read(false)
		synctest.Wait()
		if late.Load() != nil {
			t.Errorf("a late call at once: %v, want it to go on", late.Load())
		}
		time.Sleep(StopGrace + time.Second)
		synctest.Wait()
		tooLate := read(false)
		synctest.Wait()
		for name, got := range map[string]*atomic.Value{"call": call, "late call": late, "too late call": tooLate} {
			if got.Load() != errEnded {
				t.Errorf("%s after the grace: %v, want %v", name, got.Load(), errEnded)
			}
		}
	})
}

// A stream that waits for word only once its account is gone ends with its upstream.
func TestUpstreamEndsItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		s := &stream{ReadCloser: io.NopCloser(strings.NewReader("")), events: true, waiting: &waiting{over: over}}
		var got error
		go func() { _, got = s.Read(make([]byte, 1)) }()
		synctest.Wait()
		if got != io.EOF {
			t.Errorf("got %v, want %v", got, io.EOF)
			close(over)
		}
	})
}
