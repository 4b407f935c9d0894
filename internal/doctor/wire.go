package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

const (
	userAgent      = "caddy-mcp-oauth-doctor"
	requestTimeout = 10 * time.Second
	// streamTimeout bounds how long an event stream may take to say something.
	streamTimeout = 3 * time.Second
	maxBody       = 512 << 10
)

var errPrivateAddress = errors.New("the name leads to an address that is not on the internet")

// wire makes each request once, however many families make it, and remembers
// what was answered.
type wire struct {
	http *http.Client
	// silent counts requests that a host let time out: after a few, it is asked no more.
	silent map[string]int
	// answers are those that were given, by request.
	answers map[string]*answer
	// all are those that were given, in order.
	all       []*answer
	exchanges []Exchange
	secrets   []string
	// anywhere is true if the examined server itself is not on the internet:
	// then what it names need not be either.
	anywhere atomic.Bool
}

// request is what is sent. What is sent twice is the same request, unless it is fresh.
type request struct {
	method, url, body string
	header            map[string]string
	fresh             bool
	// stream reads an event stream up to its first event, not to its end.
	stream bool
}

// answer is what came back, or the error of a request that had no answer.
type answer struct {
	request request
	status  int
	header  http.Header
	body    []byte
	err     error
}

func newWire(o *Options) *wire {
	w := &wire{answers: map[string]*answer{}, silent: map[string]int{}}
	dial := o.dialer
	if dial == nil {
		dial = (&net.Dialer{Timeout: 5 * time.Second, Resolver: o.Resolver, ControlContext: w.control}).DialContext
	}
	w.http = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dial,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs, InsecureSkipVerify: o.Insecure},
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		},
	}
	if o.Token != "" {
		w.secrets = append(w.secrets, o.Token)
	}
	if o.ClientSecret != "" {
		w.secrets = append(w.secrets, o.ClientSecret, strings.TrimPrefix(basic(o.ClientID, o.ClientSecret), "Basic "))
	}
	return w
}

// control keeps a server on the internet from sending the machine that examines
// it into the network that the machine is in.
func (w *wire) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !w.anywhere.Load() && !egress.Public(at.Addr().Unmap()) {
		return errPrivateAddress
	}
	return nil
}

func (w *wire) do(ctx context.Context, r request) *answer {
	key := r.key()
	if known, ok := w.answers[key]; ok && !r.fresh {
		return known
	}
	a := w.patiently(ctx, r)
	w.answers[key] = a
	w.all = append(w.all, a)
	w.exchanges = append(w.exchanges, a.exchange())
	return a
}

// maxTimeouts is how many requests a host may let time out.
const maxTimeouts = 2

var errSilent = errors.New("it did not answer earlier requests in time")

// patiently sends a request, unless its host has used up the patience.
func (w *wire) patiently(ctx context.Context, r request) *answer {
	u, err := url.Parse(r.url)
	if err != nil {
		return &answer{request: r, err: errors.New("no URL")}
	}
	if w.silent[u.Host] >= maxTimeouts {
		return &answer{request: r, err: errSilent}
	}
	a := w.send(ctx, r)
	if a.err != nil && errors.Is(a.err, context.DeadlineExceeded) {
		w.silent[u.Host]++
	}
	return a
}

func (r request) key() string {
	var b strings.Builder
	b.WriteString(r.method + " " + r.url + "\n" + r.body)
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		b.WriteString("\n" + name + ": " + r.header[name])
	}
	return b.String()
}

func (w *wire) send(ctx context.Context, r request) *answer {
	a := &answer{request: r}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, strings.NewReader(r.body))
	if err != nil {
		a.err = err
		return a
	}
	req.Header.Set("User-Agent", userAgent)
	for name, value := range r.header {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := w.http.Do(req)
	if err != nil {
		a.err = bare(err)
		return a
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	if r.stream || egress.MediaType(resp.Header) == mcp.EventStream {
		stop := time.AfterFunc(streamTimeout, cancel)
		defer stop.Stop()
		a.body = firstEvent(resp.Body)
		return a
	}
	a.body, a.err = io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return a
}

// firstEvent reads an event stream up to the end of the first event with data.
func firstEvent(stream io.Reader) []byte {
	var read bytes.Buffer
	chunk := make([]byte, 4096)
	for read.Len() < maxBody {
		n, err := stream.Read(chunk)
		read.Write(chunk[:n])
		if err != nil || len(eventData(read.Bytes())) > 0 {
			break
		}
	}
	return read.Bytes()
}

// eventData returns the data of the first event that has some and is complete.
func eventData(stream []byte) []byte {
	data, err := mcp.NewEventReader(bytes.NewReader(stream), maxBody).Next()
	if err != nil {
		return nil
	}
	return data
}

// bare returns an error without the URL, which may have a query.
func bare(err error) error {
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// untrusted reports whether a certificate is why there was no answer.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &host) || errors.As(err, &authority) || errors.As(err, &invalid)
}

// json reads the answer as a JSON object into v.
func (a *answer) json(v any) error {
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	if err := decoder.Decode(v); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("something follows the JSON object")
	}
	return nil
}

func (a *answer) is2xx() bool { return a.err == nil && a.status >= 200 && a.status < 300 }

func (a *answer) is3xx() bool {
	return a.err == nil && a.status >= 300 && a.status < 400 && a.header.Get("Location") != ""
}

// location returns where a redirect leads.
func (a *answer) location() (*url.URL, bool) {
	if !a.is3xx() {
		return nil, false
	}
	base, err := url.Parse(a.request.url)
	if err != nil {
		return nil, false
	}
	to, err := base.Parse(a.header.Get("Location"))
	return to, err == nil
}
