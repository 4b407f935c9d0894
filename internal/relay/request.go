package relay

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// outgoing is what a request to the server has besides what net/http copies of that of
// the client, in one allocation.
type outgoing struct {
	url  url.URL
	body keptIfUnread
	// values are of headers: X-Forwarded-For, X-Forwarded-Host and Via.
	values [3]string
}

// What many requests say. Transports only read the headers of a request.
var (
	noUserAgent = []string{""} // or net/http would say its own
	earlyData   = []string{"1"}
	overHTTP    = []string{"http"}
	overHTTPS   = []string{"https"}
)

// NewRequest returns a request for one attempt. Its headers are its own until it is sent,
// with room for some more; their values are shared with the client's request. Its URL
// has no scheme and no host yet.
func (x *Exchange) NewRequest(more int) *http.Request {
	in, o := x.request, &x.first
	if x.made {
		o = new(outgoing)
	}
	x.made = true
	out := in.WithContext(x.ctx)
	out.Header = x.header(o, more)
	out.Close, out.Trailer = false, nil
	o.url = url.URL{Path: in.URL.Path, RawPath: in.URL.RawPath, RawQuery: in.URL.RawQuery, ForceQuery: in.URL.ForceQuery}
	out.URL = &o.url
	if len(in.Trailer) > 0 && in.Body != nil {
		out.ContentLength = -1 // as if they went on
	}
	if x.relay.isIncremental(out.Header) && out.ContentLength < 0 && !methodHasBody(out.Method) {
		out.ContentLength = 0
	}
	if out.ContentLength == 0 {
		out.Body = nil // by which the transport knows that it can send the request again
	}
	if out.Body != nil {
		o.body.ReadCloser = out.Body
		out.Body = &o.body
	}
	return out
}

// methodHasBody reports whether something is to be expected in a body of unknown length.
// HTTP/3 does not say that there is none.
func methodHasBody(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete, http.MethodTrace, http.MethodConnect:
		return false
	}
	return true
}

// header returns the headers of a request to the server.
func (x *Exchange) header(o *outgoing, more int) http.Header {
	in := x.request
	h := make(http.Header, len(in.Header)+ours+more)
	for name, values := range in.Header {
		if !isHopByHop(name) {
			h[name] = values
		}
	}
	for _, name := range named(in.Header) {
		delete(h, name)
	}
	if _, said := h["User-Agent"]; !said {
		h["User-Agent"] = noUserAgent
	}
	if in.TLS != nil && !in.TLS.HandshakeComplete {
		h["Early-Data"] = earlyData // RFC 8470 section 5.1: it may have been sent before, by somebody else
	}
	x.setForwarded(o, h)
	o.values[2] = via(in.ProtoMajor, in.ProtoMinor)
	h["Via"] = after(h["Via"], o.values[2:3:3])
	return h
}

// ours is how many headers are added here: User-Agent, Via, X-Forwarded-*.
const ours = 5

// setForwarded says whose request it is, where they sent it and how. What the client says
// of that counts if it is trusted. A header that is there without a value was taken away by
// somebody before us, and stays so.
func (x *Exchange) setForwarded(o *outgoing, h http.Header) {
	in := x.request
	peer, known := x.peer()
	if !known {
		delete(h, "X-Forwarded-For")
		delete(h, "X-Forwarded-Proto")
		delete(h, "X-Forwarded-Host")
		return
	}
	if prior, omitted := forwarded(h, "X-Forwarded-For"); !omitted {
		said := ""
		if x.trusted {
			said = strings.Join(prior, ", ")
		}
		switch {
		case said == "":
			o.values[0] = peer
		case peer == "":
			o.values[0] = said
		default:
			o.values[0] = said + ", " + peer
		}
		if o.values[0] != "" {
			h["X-Forwarded-For"] = o.values[0:1:1]
		}
	}
	if prior, omitted := forwarded(h, "X-Forwarded-Proto"); !omitted {
		switch {
		case x.trusted && last(prior) != "":
			h["X-Forwarded-Proto"] = prior[len(prior)-1:]
		case in.TLS != nil:
			h["X-Forwarded-Proto"] = overHTTPS
		default:
			h["X-Forwarded-Proto"] = overHTTP
		}
	}
	if prior, omitted := forwarded(h, "X-Forwarded-Host"); !omitted {
		o.values[1] = in.Host
		if x.trusted && last(prior) != "" {
			o.values[1] = last(prior)
		}
		h["X-Forwarded-Host"] = o.values[1:2:2]
	}
}

// forwarded returns what a request says already, and whether it is to say nothing.
func forwarded(h http.Header, name string) (prior []string, omitted bool) {
	prior, there := h[name]
	return prior, there && prior == nil
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// peer returns the IP address of the client, which is empty for a trusted one on a Unix
// socket, and whether anything may be said of it.
func (x *Exchange) peer() (address string, known bool) {
	if x.request.RemoteAddr == "@" {
		return "", x.trusted
	}
	address, _, err := net.SplitHostPort(x.request.RemoteAddr)
	if err != nil {
		return "", false
	}
	address, _, _ = strings.Cut(address, "%") // the zone means nothing elsewhere
	return address, true
}
