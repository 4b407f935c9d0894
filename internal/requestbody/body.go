package requestbody

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

var errReleased = errors.New("mcp_oauth: the body was read after its call had ended")

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Body is the body of a request, buffered until the upstream has taken it: it may
// have to be sent again, or be read. A body larger than allowed passes without
// being buffered.
//
// The transport may go on reading while, and even after, the response is
// served. So every reader has its own position, and reads under a lock from a
// buffer that is taken away before it is used for another call.
type Body struct {
	mu     sync.Mutex
	buffer *[]byte // nil when there is none, or it was given back
	whole  bool    // nothing is missing in the buffer
	first  reader
	last   *reader // the one that the upstream got last
}

// reader reads a buffered body from the start.
type reader struct {
	body   *Body
	at     int
	atEnd  bool
	behind io.ReadCloser // what was too much to be buffered, or nil
}

// Buffer reads the body of a request and puts the buffer in its place, unless that is
// larger than limit. The error is the client's, or its connection's.
func (b *Body) Buffer(w http.ResponseWriter, r *http.Request, limit int) error {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		b.whole = true
		return nil
	}
	if r.Method != http.MethodPost || r.ContentLength > int64(limit) {
		return nil
	}
	buffer := buffers.Get().(*[]byte)
	data, err := readInTime(w, r, (*buffer)[:0], limit)
	*buffer, b.buffer = data, buffer
	b.first.body, b.last = b, &b.first
	switch {
	case errors.Is(err, io.EOF):
		b.whole = true
	case err == nil:
		b.first.behind = r.Body
	default:
		b.Release()
		return err
	}
	r.Body = &b.first
	return nil
}

// readInTime reads a body that may be buffered. Most come with their headers, all at
// once: then no deadline is set, which each call would pay for. What is still to
// come has to come in time. Caddy bounds how long nothing comes at all.
func readInTime(w http.ResponseWriter, r *http.Request, b []byte, limit int) ([]byte, error) {
	b, err := readUpTo(b, r.Body, 0)
	if err != nil {
		return b, err
	}
	timed := int64(len(b)) != r.ContentLength && setReadDeadline(w, time.Now().Add(Timeout)) == nil
	b, err = readUpTo(b, r.Body, limit)
	if timed && (err == nil || errors.Is(err, io.EOF)) {
		if failed := setReadDeadline(w, time.Time{}); failed != nil {
			return b, failed
		}
	}
	return b, err
}

// readUpTo reads until the end, which it reports with io.EOF, or a little more
// than limit.
func readUpTo(b []byte, r io.Reader, limit int) ([]byte, error) {
	for len(b) <= limit {
		if len(b) == cap(b) {
			b = slices.Grow(b, 512)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// Bytes returns the whole body, or nil. They are good until the call ends.
func (b *Body) Bytes() []byte {
	if !b.whole || b.buffer == nil {
		return nil
	}
	return *b.buffer
}

// Replace puts another body in place before it is sent.
func (b *Body) Replace(r *http.Request, body []byte) {
	*b.buffer = append((*b.buffer)[:0], body...)
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// Again returns the body to be sent another time, if it was buffered.
func (b *Body) Again() (io.ReadCloser, bool) {
	switch {
	case !b.whole:
		return nil, false
	case b.buffer == nil:
		return http.NoBody, true
	}
	b.last = &reader{body: b}
	return b.last, true
}

// Taken says that the body is not needed again. An upstream may answer before
// it has read all: then the buffer stays until the call ends.
func (b *Body) Taken() {
	if b.last == nil {
		return
	}
	b.mu.Lock()
	atEnd := b.last.atEnd
	b.mu.Unlock()
	if atEnd {
		b.Release()
	}
}

// Release gives the buffer back.
func (b *Body) Release() {
	if b.last == nil { // nothing was buffered
		return
	}
	b.mu.Lock()
	buffer := b.buffer
	b.buffer = nil
	b.mu.Unlock()
	if buffer != nil {
		b.whole = false
		buffers.Put(buffer)
	}
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if n, err := r.readBuffered(p); n > 0 || err != nil {
		return n, err
	}
	if r.behind != nil {
		return r.behind.Read(p)
	}
	return 0, io.EOF
}

func (r *reader) readBuffered(p []byte) (int, error) {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	if r.atEnd {
		return 0, nil
	}
	if r.body.buffer == nil {
		return 0, errReleased
	}
	n := copy(p, (*r.body.buffer)[r.at:])
	r.at += n
	r.atEnd = r.at == len(*r.body.buffer)
	return n, nil
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.behind != nil {
		return r.behind.Close()
	}
	return nil
}
