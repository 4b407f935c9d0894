package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
)

// maxHeldBody is the largest body that is kept to be sent again.
const maxHeldBody = mcp.MaxRequest

var errBodyReleased = errors.New("mcp_oauth: the body was read after its call had ended")

var bodyPool = sync.Pool{New: func() any { return new([]byte) }}

// heldBody is the body of a call, kept until the upstream has taken the call:
// it may have to be sent again with another credential, or be read to tell the
// client what is missing. A larger body passes without being kept.
//
// The transport may go on reading while, and even after, the response is
// served. So every reader has its own position, and reads under a lock from a
// buffer that is taken away before it is used for another call.
type heldBody struct {
	mu     sync.Mutex
	buffer *[]byte // nil when there is none, or it was given back
	whole  bool    // nothing is missing in the buffer
	first  bodyReader
	last   *bodyReader // the one that the upstream got last
}

// bodyReader reads a held body from the start.
type bodyReader struct {
	held   *heldBody
	at     int
	atEnd  bool
	behind io.ReadCloser // what was too much to be kept, or nil
}

// holds reports whether the body of a request is kept, if it is not too large.
func holds(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 &&
		r.Method == http.MethodPost && r.ContentLength <= maxHeldBody
}

// hold reads the body of a request. The error is the client's, or its
// connection's.
func (h *heldBody) hold(w http.ResponseWriter, r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		h.whole = true
		return nil
	}
	if !holds(r) {
		return nil
	}
	buffer := bodyPool.Get().(*[]byte)
	data, err := readInTime(w, r, (*buffer)[:0])
	*buffer, h.buffer = data, buffer
	h.first.held, h.last = h, &h.first
	switch {
	case errors.Is(err, io.EOF):
		h.whole = true
	case err == nil:
		h.first.behind = r.Body
	default:
		h.release()
		return err
	}
	r.Body = &h.first
	return nil
}

// bodyUnread answers for a body that could not be held.
func bodyUnread(err error) error {
	var limit caddyhttp.HandlerError // of the request_body directive
	switch {
	case errors.As(err, &limit):
		return limit
	case errors.Is(err, os.ErrDeadlineExceeded):
		return caddyhttp.Error(http.StatusRequestTimeout, err)
	}
	return caddyhttp.Error(http.StatusBadRequest, err)
}

// readInTime reads a body that may be kept. Most come with their headers, all at
// once: then no deadline is set, which each call would pay for. What is still to
// come has to come in time. Caddy bounds how long nothing comes at all.
func readInTime(w http.ResponseWriter, r *http.Request, b []byte) ([]byte, error) {
	b, err := readUpTo(b, r.Body, 0)
	if err != nil {
		return b, err
	}
	timed := int64(len(b)) != r.ContentLength && setReadDeadline(w, time.Now().Add(BodyTimeout)) == nil
	b, err = readUpTo(b, r.Body, maxHeldBody)
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

// bytes returns the whole body, or nil. They are good until the call ends.
func (h *heldBody) bytes() []byte {
	if !h.whole || h.buffer == nil {
		return nil
	}
	return *h.buffer
}

// replace puts another body in place before it is sent.
func (h *heldBody) replace(r *http.Request, body []byte) {
	*h.buffer = append((*h.buffer)[:0], body...)
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// again returns the body to be sent another time, if it was kept.
func (h *heldBody) again() (io.ReadCloser, bool) {
	switch {
	case !h.whole:
		return nil, false
	case h.buffer == nil:
		return http.NoBody, true
	}
	h.last = &bodyReader{held: h}
	return h.last, true
}

// taken tells that the body is not needed again. An upstream may answer before
// it has read all: then the buffer stays until the call ends.
func (h *heldBody) taken() {
	if h.last == nil {
		return
	}
	h.mu.Lock()
	atEnd := h.last.atEnd
	h.mu.Unlock()
	if atEnd {
		h.release()
	}
}

// release gives the buffer back.
func (h *heldBody) release() {
	if h.last == nil { // nothing was held
		return
	}
	h.mu.Lock()
	buffer := h.buffer
	h.buffer = nil
	h.mu.Unlock()
	if buffer != nil {
		h.whole = false
		bodyPool.Put(buffer)
	}
}

// Read implements io.Reader.
func (b *bodyReader) Read(p []byte) (int, error) {
	if n, err := b.readHeld(p); n > 0 || err != nil {
		return n, err
	}
	if b.behind != nil {
		return b.behind.Read(p)
	}
	return 0, io.EOF
}

func (b *bodyReader) readHeld(p []byte) (int, error) {
	b.held.mu.Lock()
	defer b.held.mu.Unlock()
	if b.atEnd {
		return 0, nil
	}
	if b.held.buffer == nil {
		return 0, errBodyReleased
	}
	n := copy(p, (*b.held.buffer)[b.at:])
	b.at += n
	b.atEnd = b.at == len(*b.held.buffer)
	return n, nil
}

// Close implements io.Closer.
func (b *bodyReader) Close() error {
	if b.behind != nil {
		return b.behind.Close()
	}
	return nil
}
