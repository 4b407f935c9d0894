package requestbody

import (
	"io"
	"net/http"
	"time"
)

// Timeout is how long a client may take to send a body that is read here
// and not passed on: forms, registrations, the calls that are held until their
// account is found. They are small. Caddy's own bounds are for a pause, and so
// none for who sends a byte at a time.
var Timeout = 30 * time.Second // shorter in a test

// timed is the body of a request that must be read in time.
type timed struct {
	io.ReadCloser
	w http.ResponseWriter
}

// SetDeadline ends the reading of the body when it takes too long. It works for
// all versions of HTTP, and through Caddy's own wrappers. How large a body may be
// is for its reader to say.
func SetDeadline(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	if setReadDeadline(w, time.Now().Add(Timeout)) == nil {
		r.Body = &timed{r.Body, w}
	}
}

// Read implements io.Reader. What comes after the body has all the time there
// is: a deadline that passes then would look as if the client had left.
func (b *timed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = setReadDeadline(b.w, time.Time{})
	}
	return n, err
}

// setReadDeadline is that of http.ResponseController, without its allocation:
// each call with somebody's account comes by here.
func setReadDeadline(w http.ResponseWriter, at time.Time) error {
	for {
		switch inner := w.(type) {
		case interface{ SetReadDeadline(time.Time) error }:
			return inner.SetReadDeadline(at)
		case interface{ Unwrap() http.ResponseWriter }:
			w = inner.Unwrap()
		default:
			return http.ErrNotSupported
		}
	}
}
