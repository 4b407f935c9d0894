package ahead

import (
	"testing"
	"testing/synctest"
	"time"
)

// An answer is good for five seconds, for the question and the store that it is of,
// and until something changes.
func TestAnswersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Of(With(t.Context()))
		r.Put("store", "question", "answer", nil)
		is := func(store, text string, want bool) {
			t.Helper()
			if got, err, known := r.Find(store, text); known != want || err != nil || known && got != "answer" {
				t.Errorf("%s of %s: %v, %v, known %t; want %t", text, store, got, err, known, want)
			}
		}
		is("store", "another question", false)
		is("another store", "question", false)
		time.Sleep(lifetime - 1)
		is("store", "question", true)
		time.Sleep(time.Nanosecond)
		is("store", "question", false)
		r.Put("store", "question", "answer", nil)
		is("store", "question", true)
		r.Forget()
		is("store", "question", false)
	})
	if r := Of(t.Context()); r != nil {
		t.Errorf("a context without answers has %v", r)
	}
}
