package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Errors of a fetch. They are for the log: whoever named the address must not
// learn which one it was.
var (
	ErrURL     = errors.New("egress: URL not allowed")
	ErrAddress = errors.New("egress: address not allowed")
	ErrAnswer  = errors.New("egress: answer not usable")
	// ErrUnavailable says nothing about the document: the host could not be
	// reached, or had no answer at this time.
	ErrUnavailable = errors.New("egress: no answer")
	// ErrUnreachable says that no connection came about: the name was not
	// resolved, no address answered or was allowed, or TLS failed.
	ErrUnreachable = errors.New("egress: no connection")
)

const (
	defaultTimeout = 5 * time.Second
	connectTimeout = 3 * time.Second
	maxHeaderBytes = 16 << 10
	userAgent      = "caddy-mcp-oauth"
)

// Options say how far a Client may reach. The zero value is for production.
type Options struct {
	// Loopback opens this machine: any port, with or without TLS. For
	// development and tests, where client and server share a machine.
	Loopback bool
	// Networks are opened besides the public internet, on any port, for
	// clients that live in the operator's own network.
	Networks []netip.Prefix
	// Anywhere opens every address, on any port, with or without TLS. For
	// what the operator's own configuration names, never for what others name.
	Anywhere bool
	// Timeout bounds a whole fetch; 0 means 5 seconds.
	Timeout time.Duration
	// Observe, unless nil, is told of each request that was sent: how long it took
	// until there was an answer, and its status, or 0 if there was none.
	Observe func(took time.Duration, status int)
	// RootCAs replaces the system's certificate authorities.
	RootCAs *x509.CertPool
	// Resolver replaces the system's name resolution.
	Resolver *net.Resolver
}

// Client makes requests to addresses that others named. It is safe for
// concurrent use and keeps no connection open.
type Client struct {
	http     *http.Client
	opened   []netip.Prefix
	loopback bool
	anywhere bool
	timeout  time.Duration
	resolver *net.Resolver
	observe  func(time.Duration, int)
	reach    string
}

// New returns a client with the reach that the options give it.
func New(o Options) *Client {
	c := &Client{opened: append([]netip.Prefix(nil), o.Networks...), loopback: o.Loopback, anywhere: o.Anywhere, timeout: o.Timeout, resolver: o.Resolver, observe: o.Observe}
	if o.Loopback {
		c.opened = append(c.opened, loopback...)
	}
	c.reach = fmt.Sprintf("%v %t %p %p", c.opened, o.Anywhere, o.RootCAs, o.Resolver)
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	dialer := &net.Dialer{Timeout: connectTimeout, ControlContext: c.control, Resolver: o.Resolver}
	c.http = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would resolve and dial past our checks
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
			TLSHandshakeTimeout:    connectTimeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
			DisableKeepAlives:      true,
			DisableCompression:     true, // a compressed answer could outgrow its cap
		},
	}
	return c
}

// Loopback reports whether the client reaches this machine.
func (c *Client) Loopback() bool { return c.loopback }

// Reach returns a text that only clients have in common which reach the same
// hosts: what one has fetched, another could have.
func (c *Client) Reach() string { return c.reach }

// CheckURL reports whether a request to the URL may be tried at all: https on
// port 443, or, where Options opened them, this machine and addresses of the
// opened networks on any port and over http. A name is judged again, by its
// addresses, when it is dialled.
func (c *Client) CheckURL(u *url.URL) error {
	host := u.Hostname()
	if host == "" || u.Opaque != "" || u.User != nil {
		return ErrURL
	}
	if (c.anywhere || c.opens(host)) && (u.Scheme == "https" || u.Scheme == "http") {
		return nil
	}
	if u.Scheme != "https" || isLocalName(host) {
		return ErrURL
	}
	if a, err := netip.ParseAddr(host); err == nil && !Public(a) {
		return ErrURL
	}
	// With opened networks, a name may lead into one; the dialer decides.
	if port := u.Port(); port != "" && port != "443" && len(c.opened) == 0 {
		return ErrURL
	}
	return nil
}

// opens reports whether the host, as written, is one that Options opened.
func (c *Client) opens(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return within(c.opened, a)
	}
	return c.loopback && isLocalName(host)
}

// isLocalName reports whether the name means this machine (RFC 6761 section 6.3).
func isLocalName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// control judges each address just before it is dialled.
func (c *Client) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%w: network %s", ErrAddress, network)
	}
	if c.anywhere {
		return nil
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAddress, err)
	}
	if within(c.opened, ap.Addr()) {
		return nil
	}
	if ap.Port() != 443 || !Public(ap.Addr()) {
		return fmt.Errorf("%w: %s", ErrAddress, ap)
	}
	return nil
}

// Do sends a request. A redirect is returned, not followed. The caller bounds
// the time with the request's context, and how much it reads of the body.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	if err := c.CheckURL(req.URL); err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	began := time.Now()
	res, err := c.http.Do(req)
	if c.observe != nil {
		status := 0
		if err == nil {
			status = res.StatusCode
		}
		c.observe(time.Since(began), status)
	}
	return res, err
}

// Document is a fetched JSON document.
type Document struct {
	Body   []byte
	Header http.Header
}

// FetchJSON gets a JSON document of at most limit bytes. Anything but a 200
// with a JSON media type is an error.
func (c *Client) FetchJSON(ctx context.Context, rawURL string, limit int64) (*Document, error) {
	return c.FetchJSONAs(ctx, rawURL, "", limit)
}

// FetchJSONAs is FetchJSON with an Authorization header, unless that is empty.
func (c *Client) FetchJSONAs(ctx context.Context, rawURL, authorization string, limit int64) (*Document, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, ErrURL
	}
	req.Header.Set("Accept", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := c.connect(req)
	if errors.Is(err, ErrURL) || errors.Is(err, ErrAddress) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests {
		return nil, fmt.Errorf("%w: %w: status %d", ErrAnswer, ErrUnavailable, resp.StatusCode)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: status %d", ErrAnswer, resp.StatusCode)
	}
	if !isJSON(resp.Header) {
		return nil, fmt.Errorf("%w: not JSON", ErrAnswer)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAnswer, limit)
	}
	return &Document{Body: body, Header: resp.Header}, nil
}

// connect is Do, and tells by ErrUnreachable that there was no connection to
// send the request on.
func (c *Client) connect(req *http.Request) (*http.Response, error) {
	connected := false
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}
	resp, err := c.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err == nil || connected || errors.Is(err, ErrURL) {
		return resp, err
	}
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		err = failed.Err // the caller knows the URL
	}
	return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// Resolves reports whether a name has an address that a request may go to. It
// asks the machine's resolver, and nobody else.
func (c *Client) Resolves(ctx context.Context, name string) bool {
	resolver := c.resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	addresses, _ := resolver.LookupNetIP(ctx, "ip", name)
	return slices.ContainsFunc(addresses, func(a netip.Addr) bool {
		a = a.Unmap()
		return c.anywhere || Public(a) || within(c.opened, a)
	})
}

// MediaType returns the media type of an answer. Some servers and proxies write
// the header twice, on two lines or on one; it is "" if they do not agree.
func MediaType(h http.Header) string {
	var found string
	for _, line := range h.Values("Content-Type") {
		values := []string{line}
		if _, _, err := mime.ParseMediaType(line); err != nil {
			values = strings.Split(line, ",")
		}
		for _, value := range values {
			mediaType, _, err := mime.ParseMediaType(value)
			unclear := err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter)
			if unclear || found != "" && found != mediaType {
				return ""
			}
			found = mediaType
		}
	}
	return found
}

// isJSON reports whether the media type is application/json or has the
// structured suffix +json (RFC 6839 section 3.1).
func isJSON(h http.Header) bool {
	mediaType := MediaType(h)
	return mediaType == "application/json" ||
		strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json")
}
