package lists

import (
	"bytes"
	"errors"
	"io"
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
}

// pieces are what answers are read by before anything of them is passed on.
var pieces = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// NewBody returns a body that is read from an answer of the server.
func NewBody(answer io.ReadCloser, policy Policy, events bool) *Body {
	b := &Body{ReadCloser: answer, filter: &text{Filter: Filter{policy: policy}}}
	if events {
		b.filter = NewEvents(policy)
	}
	return b
}

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
			return 0, b.err
		}
		b.read(p)
		b.pending = b.filter.Out()
	}
	n := copy(p, b.pending)
	b.pending = b.pending[n:]
	return n, nil
}

// text filters a body that is one JSON text, and passes on one that is none.
type text struct {
	Filter
	is dataState
}

// Write reads on.
func (t *text) Write(p []byte) error {
	if t.is == noData {
		trimmed := bytes.TrimLeft(p, " \t\r\n")
		if len(trimmed) == 0 {
			t.out = append(t.out, p...)
			return nil
		}
		var err error
		if t.is, err = kindOf(trimmed[0]); err != nil {
			return err
		}
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
