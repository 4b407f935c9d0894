package lists

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// Body is the body of an answer, filtered while it is read.
type Body struct {
	io.ReadCloser // the server's

	filter interface {
		Write(p []byte) error
		Out() []byte
		Len() int
		Close() error
	}
	pending []byte // may be read
	err     error  // what comes after
	text    *text  // of which the buffer is shared; nil for an event stream, or at the end
	buffer  *[]byte
}

// pieces are what answers are read by before anything of them is passed on.
var pieces = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// buffers are what answers are held in: a large list would cost more to make room for
// than to read.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxShared bounds the buffers that are kept for others.
const maxShared = 2 << 20

// NewBody returns a body that is read from an answer of the server.
func NewBody(answer io.ReadCloser, policy Policy, events bool) *Body {
	if events {
		return &Body{ReadCloser: answer, filter: NewEvents(policy)}
	}
	buffer := buffers.Get().(*[]byte)
	t := &text{Filter: Filter{policy: policy, out: (*buffer)[:0]}}
	return &Body{ReadCloser: answer, filter: t, text: t, buffer: buffer}
}

// Expect makes room for an answer of so many bytes, if that is known.
func (b *Body) Expect(size int64) {
	if b.text != nil && size > 0 && size <= maxExpected {
		b.text.out = slices.Grow(b.text.out, int(size))
	}
}

// share gives the buffer to others once all was read. Whoever closes the body may do so
// while it is being read, so it is the reader who does this, and not Close.
func (b *Body) share() {
	if b.text == nil || b.err == nil || len(b.pending) > 0 {
		return
	}
	if out := b.text.out; cap(out) <= maxShared {
		*b.buffer = out
		buffers.Put(b.buffer)
	}
	b.text.out, b.text, b.buffer, b.pending = nil, nil, nil, nil
}

// maxExpected bounds for how much room is made before it is there.
const maxExpected = 1 << 20

// Begin reads on until there is so much to pass on, or all of the answer. Then whole
// tells how long it is, else it is -1. A caller that gets an Error has passed on
// nothing, and can answer something else.
func (b *Body) Begin(atLeast int) (whole int64, err error) {
	piece := pieces.Get().(*[32 << 10]byte)
	defer pieces.Put(piece)
	for b.err == nil && b.filter.Len() < atLeast {
		b.read(piece[:])
	}
	b.pending = b.filter.Out()
	var failed Error
	switch {
	case errors.As(b.err, &failed):
		b.pending = nil
		b.share()
		return -1, failed
	case errors.Is(b.err, io.EOF):
		return int64(len(b.pending)), nil
	}
	return -1, nil
}

// read reads one piece.
func (b *Body) read(piece []byte) {
	n, err := b.ReadCloser.Read(piece)
	failed := b.filter.Write(piece[:n])
	if failed == nil && errors.Is(err, io.EOF) {
		failed = b.filter.Close()
	}
	if failed != nil {
		err = failed
	}
	b.err = err
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	for len(b.pending) == 0 {
		if b.err != nil || len(p) == 0 {
			b.share()
			return 0, b.err
		}
		b.read(p)
		b.pending = b.filter.Out()
	}
	n := copy(p, b.pending)
	b.pending = b.pending[n:]
	b.share()
	return n, nil
}

// text filters a body that is one JSON text, and passes on one that is none.
type text struct {
	Filter
	is dataState
}

// Write reads on.
func (t *text) Write(p []byte) (err error) {
	if p, err = t.begin(p, " \t\r\n", &t.is); len(p) == 0 || err != nil {
		return err
	}
	if t.is == isWords {
		t.out = append(t.out, p...)
		return nil
	}
	return t.Filter.Write(p)
}

// Close says that the body is at its end.
func (t *text) Close() error {
	if t.is == isJSON {
		return t.Filter.Close()
	}
	return nil
}
