package oauthtest

import (
	"io"
	"testing"
	"time"
)

// Patience bounds every wait of a test for what goes on beside it. Who passes waits
// for no more than it takes, so it is long: a busy machine is no failure.
const Patience = time.Minute

// Eventually returns once it is so, and fails the test, saying what is wrong, if that
// never comes.
func Eventually(t testing.TB, wrong string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for pause := time.Millisecond; !is(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", Patience, wrong)
		}
		time.Sleep(pause)
	}
}

// Closing returns what a test has opened, and closes it with the test.
func Closing[C io.Closer](t testing.TB, c C, err error) C {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
