package relay

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// keptIfUnread is the body of a request. The transport closes it also when it could
// not reach the server. To close what nobody read is to wait for the client to send
// it, and the client to wait for its answer meanwhile. Whoever serves the request
// closes it in the end.
type keptIfUnread struct {
	io.ReadCloser
	read atomic.Bool
}

// Read implements io.Reader.
func (b *keptIfUnread) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Store(true)
	return n, err
}

// Close implements io.Closer.
func (b *keptIfUnread) Close() error {
	if !b.read.Load() {
		return nil
	}
	return b.ReadCloser.Close()
}

// passedAtOnce reports whether the client gets each part of a response as it comes:
// where nobody can tell when the next one does, or the server asks for it.
func (x *Exchange) passedAtOnce(res *http.Response) bool {
	return res.ContentLength == -1 || x.relay.isIncremental(res.Header) || isEventStream(res.Header)
}

func (r *Relay) isIncremental(h http.Header) bool {
	return h["Incremental"] != nil && r.Incremental != nil && r.Incremental(h)
}

// isEventStream reports whether a body is one of server-sent events.
func isEventStream(h http.Header) bool {
	const eventStream = "text/event-stream"
	given := h.Get("Content-Type")
	if len(given) < len(eventStream) || !strings.EqualFold(given[:len(eventStream)], eventStream) {
		return false // which costs less than to parse all of them
	}
	media, _, err := mime.ParseMediaType(given)
	return err == nil && media == eventStream
}

// buffers are as large as those of reverse_proxy.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyBody passes a body on to its end.
func copyBody(client io.Writer, body io.Reader) error {
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	for {
		n, err := body.Read(buffer[:])
		if n > 0 {
			written, failed := client.Write(buffer[:n])
			if failed != nil {
				return fmt.Errorf("writing: %w", failed)
			}
			if written < n {
				return io.ErrShortWrite
			}
		}
		if err == io.EOF { //nolint:errorlint // what wraps it is no end
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
	}
}

// copyAtOnce passes a body on as it comes. What there is at once goes with the header;
// where there is nothing, the header does not wait.
func copyAtOnce(client http.ResponseWriter, body io.Reader) error {
	f := &flushing{client: client, header: true}
	timer := time.AfterFunc(0, f.flushHeader)
	defer func() {
		timer.Stop()
		f.end() // the client's side is not ours any more when this returns
	}()
	return copyBody(f, body)
}

// flushing passes on what is written as it comes.
type flushing struct {
	mu     sync.Mutex
	client http.ResponseWriter
	header bool // nothing was flushed yet
}

// Write implements io.Writer.
func (f *flushing) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.header = false
	n, err := f.client.Write(p)
	_ = http.NewResponseController(f.client).Flush() // a client that is gone shows in the next Write
	return n, err
}

func (f *flushing) flushHeader() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.header {
		_ = http.NewResponseController(f.client).Flush()
	}
}

func (f *flushing) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.header = false
}
