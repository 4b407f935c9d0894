package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
)

// Relay is how requests are handed on. It may be used by many at the same time.
type Relay struct {
	// Incremental reports whether a message asks to be passed on as it comes
	// (RFC 10036). Nil: none does.
	Incremental func(http.Header) bool
	// GotConn is called with the connection that an attempt is made on, before it is.
	// May be nil.
	GotConn func(httptrace.GotConnInfo)
}

// Hop is the way of one request to the server.
type Hop interface {
	// Send has the request answered, by the server or in its place. It may make
	// more than one attempt, each with a request of its own from NewRequest. A
	// response has a body, as those of a http.RoundTripper have.
	Send(x *Exchange) (*http.Response, error)
	// Informational takes out of a 1xx response what must not reach the client.
	Informational(http.Header)
}

// Exchange is a request on its way.
type Exchange struct {
	relay   *Relay
	hop     Hop
	client  http.ResponseWriter
	request *http.Request // as it came
	trusted bool          // what it says of those before it is true

	ctx   context.Context //nolint:containedctx // that of each attempt
	trace httptrace.ClientTrace
	made  bool // the first attempt was
	first outgoing
	via   [1]string // of the response

	mu       sync.Mutex // of client, until answered
	answered bool
}

// Broken is an answer of which the client got some, but not all. It must not look
// complete: whoever serves the request aborts it, as with a panic of
// http.ErrAbortHandler.
type Broken struct{ err error }

// Error implements error.
func (b *Broken) Error() string { return b.err.Error() }

// Unwrap tells errors.Is what happened.
func (b *Broken) Unwrap() error { return b.err }

// ErrNoFinalStatus says that a server did not answer the request, but would speak
// another protocol, or made a status up.
var ErrNoFinalStatus = errors.New("the server answered with a status that ends no request")

// Serve hands a request on and answers it. trusted says that the client is a proxy
// whose word about others before it counts. Nothing was answered yet where the error is
// no Broken.
func (r *Relay) Serve(w http.ResponseWriter, req *http.Request, hop Hop, trusted bool) error {
	x := &Exchange{relay: r, hop: hop, client: w, request: req, trusted: trusted}
	x.trace.Got1xxResponse, x.trace.GotConn = x.informational, r.GotConn
	x.ctx = httptrace.WithClientTrace(req.Context(), &x.trace)
	res, err := hop.Send(x)
	x.mu.Lock()
	x.answered = true
	x.mu.Unlock()
	if err != nil {
		return err
	}
	defer res.Body.Close() // also if the client's side panics
	if !IsFinal(res.StatusCode) {
		return fmt.Errorf("%w: %d", ErrNoFinalStatus, res.StatusCode)
	}
	if err := x.answer(res); err != nil {
		_ = http.NewResponseController(w).Flush() // the client gets all that there is
		return &Broken{err}
	}
	return nil
}

// IsFinal reports whether a status can end a request.
func IsFinal(status int) bool { return status >= http.StatusOK && status <= 999 }

// informational passes a 1xx response on. The transport may still call it when the
// round trip was given up, from a goroutine of its own.
func (x *Exchange) informational(status int, header textproto.MIMEHeader) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.answered {
		return nil
	}
	if err := CheckInformational(status); err != nil {
		return err
	}
	if x.mayContinue() {
		return nil
	}
	x.hop.Informational(http.Header(header))
	h := x.client.Header()
	own := maps.Clone(h)
	addEndToEnd(h, http.Header(header))
	x.client.WriteHeader(status)
	clear(h) // which WriteHeader leaves to be sent again with the final response
	maps.Copy(h, own)
	return nil
}

// mayContinue reports whether Go's server may be telling the client to continue. Over HTTP/1
// it does so by itself as the body is first read, whatever else is written meanwhile
// (golang/go#80949): the client would get both in one. A hint is the lesser loss.
func (x *Exchange) mayContinue() bool {
	return x.request.ProtoMajor == 1 && len(x.request.Header["Expect"]) > 0 && !x.first.body.read.Load()
}

// CheckInformational refuses what would switch protocols, for httptrace's
// Got1xxResponse: over HTTP/2, where it has no place (RFC 9113 section 8.6), the
// transport takes it for any other 1xx response, and Go's server for a final one.
func CheckInformational(status int) error {
	if status == http.StatusSwitchingProtocols {
		return fmt.Errorf("%w: %d", ErrNoFinalStatus, status)
	}
	return nil
}

// answer passes a final response on.
func (x *Exchange) answer(res *http.Response) error {
	atOnce := x.passedAtOnce(res)
	h := x.client.Header()
	delete(h, "Server") // that of whom we ask counts, if they say one
	x.via[0] = via(res.ProtoMajor, res.ProtoMinor)
	h["Via"] = after(h["Via"], x.via[:1:1])
	addEndToEnd(h, res.Header)
	x.client.WriteHeader(res.StatusCode)
	if atOnce {
		return copyAtOnce(x.client, res.Body)
	}
	return copyBody(x.client, res.Body)
}
