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

// Held is the body of a request, kept until whoever it is sent to has taken it: it
// may have to be sent again, or be read. A body larger than allowed passes without
// being kept.
//
// The transport may go on reading while, and even after, the response is
// served. So every reader has its own position, and reads under a lock from a
// buffer that is taken away before it is used for another call.
type Held struct {
	mu     sync.Mutex
	buffer *[]byte // nil when there is none, or it was given back
	whole  bool    // nothing is missing in the buffer
	first  reader
	last   *reader // the one that the upstream got last
}

// reader reads a held body from the start.
type reader struct {
	held   *Held
	at     int
	atEnd  bool
	behind io.ReadCloser // what was too much to be kept, or nil
}

// Hold reads the body of a request and puts itself in its place, unless that is
// larger than limit. The error is the client's, or its connection's.
func (h *Held) Hold(w http.ResponseWriter, r *http.Request, limit int) error {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		h.whole = true
		return nil
	}
	if r.Method != http.MethodPost || r.ContentLength > int64(limit) {
		return nil
	}
	buffer := buffers.Get().(*[]byte)
	data, err := readInTime(w, r, (*buffer)[:0], limit)
	*buffer, h.buffer = data, buffer
	h.first.held, h.last = h, &h.first
	switch {
	case errors.Is(err, io.EOF):
		h.whole = true
	case err == nil:
		h.first.behind = r.Body
	default:
		h.Release()
		return err
	}
	r.Body = &h.first
	return nil
}

// readInTime reads a body that may be kept. Most come with their headers, all at
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
func (h *Held) Bytes() []byte {
	if !h.whole || h.buffer == nil {
		return nil
	}
	return *h.buffer
}

// Replace puts another body in place before it is sent.
func (h *Held) Replace(r *http.Request, body []byte) {
	*h.buffer = append((*h.buffer)[:0], body...)
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// Again returns the body to be sent another time, if it was kept.
func (h *Held) Again() (io.ReadCloser, bool) {
	switch {
	case !h.whole:
		return nil, false
	case h.buffer == nil:
		return http.NoBody, true
	}
	h.last = &reader{held: h}
	return h.last, true
}

// Taken says that the body is not needed again. An upstream may answer before
// it has read all: then the buffer stays until the call ends.
func (h *Held) Taken() {
	if h.last == nil {
		return
	}
	h.mu.Lock()
	atEnd := h.last.atEnd
	h.mu.Unlock()
	if atEnd {
		h.Release()
	}
}

// Release gives the buffer back.
func (h *Held) Release() {
	if h.last == nil { // nothing was held
		return
	}
	h.mu.Lock()
	buffer := h.buffer
	h.buffer = nil
	h.mu.Unlock()
	if buffer != nil {
		h.whole = false
		buffers.Put(buffer)
	}
}

// Read implements io.Reader.
func (b *reader) Read(p []byte) (int, error) {
	if n, err := b.readHeld(p); n > 0 || err != nil {
		return n, err
	}
	if b.behind != nil {
		return b.behind.Read(p)
	}
	return 0, io.EOF
}

func (b *reader) readHeld(p []byte) (int, error) {
	b.held.mu.Lock()
	defer b.held.mu.Unlock()
	if b.atEnd {
		return 0, nil
	}
	if b.held.buffer == nil {
		return 0, errReleased
	}
	n := copy(p, (*b.held.buffer)[b.at:])
	b.at += n
	b.atEnd = b.at == len(*b.held.buffer)
	return n, nil
}

// Close implements io.Closer.
func (b *reader) Close() error {
	if b.behind != nil {
		return b.behind.Close()
	}
	return nil
}
