package requestbody

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// deadlines records those that are set for reading.
type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

// A body that arrives in time leaves no deadline behind: what is done with it,
// or read after what is held of it, may take longer. Without a body there is none.
func TestNoDeadlineAfterTheBody_N08(t *testing.T) {
	read := func(w http.ResponseWriter, r *http.Request) error {
		SetDeadline(w, r)
		_, err := io.ReadAll(r.Body)
		return err
	}
	hold := func(w http.ResponseWriter, r *http.Request) error { return new(Body).Buffer(w, r, limit) }
	holdPieces := func(w http.ResponseWriter, r *http.Request) error {
		r.Body = io.NopCloser(iotest.OneByteReader(r.Body))
		return hold(w, r)
	}
	for name, c := range map[string]struct {
		use  func(http.ResponseWriter, *http.Request) error
		body string
		want int // deadlines; the last of them is none
	}{
		"ours":             {read, "body", 2},
		"ours, empty":      {read, "", 0},
		"held":             {hold, "body", 0}, // it came with the headers
		"held, in pieces":  {holdPieces, "body", 2},
		"held, empty":      {hold, "", 0},
		"too much to hold": {hold, strings.Repeat("x", limit+1), 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := &deadlines{}
			if err := c.use(d, httptest.NewRequest("POST", "/", strings.NewReader(c.body))); err != nil {
				t.Fatal(err)
			}
			if len(d.set) != c.want || c.want > 0 && (d.set[0].IsZero() || !d.set[c.want-1].IsZero()) {
				t.Errorf("deadlines %v, want %d, of which the last is none", d.set, c.want)
			}
		})
	}
}
