package authz

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

const (
	minFresh     = time.Minute
	maxFresh     = 24 * time.Hour
	defaultFresh = 5 * time.Minute

	// fetchesPerHost bounds what strangers can make this server fetch from a
	// host, per minute. An honest host is asked at most once a minute per document.
	fetchesPerHost = 30

	firstBackOff = 2 * time.Second
	maxBackOff   = time.Minute
)

// Errors of a fetch that was not tried.
var (
	errBackOff   = errors.New("the last fetches failed; waiting")
	errHostLimit = errors.New("too many fetches from this host")
)

// documentCache holds parsed documents of addresses that strangers named. It
// keeps valid documents only, for as long as their HTTP cache headers say,
// between a minute and a day. A failure is never remembered as an answer; it
// only delays the next fetch, from the second failure in a row on. While a host
// does not answer, what it last said stays valid, up to a day.
type documentCache[T any] struct {
	egress  *egress.Client
	limiter *Limiter
	now     func() time.Time
	limit   int64
	parse   func(url string, body []byte) (T, error)

	mu       sync.Mutex
	valid    *lru[string, cachedDocument[T]]
	failures *lru[string, fetchFailures]
	flight   singleflight.Group
}

type cachedDocument[T any] struct {
	value            T
	fetched, expires time.Time
}

type fetchFailures struct {
	inARow  int
	retryAt time.Time
}

func newDocumentCache[T any](deps *Deps, size int, limit int64, parse func(string, []byte) (T, error)) *documentCache[T] {
	return &documentCache[T]{
		egress: deps.Egress, limiter: deps.Limiter, now: deps.Now, limit: limit, parse: parse,
		valid: newLRU[string, cachedDocument[T]](size), failures: newLRU[string, fetchFailures](size),
	}
}

// get returns the document at the URL, from the cache while it is fresh.
func (c *documentCache[T]) get(ctx context.Context, rawURL string) (T, error) {
	return c.newerThan(ctx, rawURL, time.Time{})
}

// newerThan returns a fresh document that was fetched after a moment. It
// fetches none within a minute of the last one.
func (c *documentCache[T]) newerThan(ctx context.Context, rawURL string, after time.Time) (T, error) {
	now := c.now()
	c.mu.Lock()
	d, ok := c.valid.get(rawURL)
	f, _ := c.failures.get(rawURL)
	c.mu.Unlock()
	if ok && now.Before(d.expires) && (d.fetched.After(after) || now.Before(d.fetched.Add(minFresh))) {
		return d.value, nil
	}
	if now.Before(f.retryAt) {
		var none T
		return none, errBackOff
	}
	return c.fetch(ctx, rawURL)
}

// fetch gets the document, once for all who ask at the same time. It goes on
// when the first of them hangs up.
func (c *documentCache[T]) fetch(ctx context.Context, rawURL string) (T, error) {
	var none T
	result := c.flight.DoChan(rawURL, func() (any, error) {
		value, header, err := c.download(context.WithoutCancel(ctx), rawURL)
		if err != nil {
			c.failed(rawURL)
			if value, ok := c.keep(rawURL, err); ok {
				return value, nil
			}
			return nil, err
		}
		now := c.now()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failures.remove(rawURL)
		c.valid.put(rawURL, cachedDocument[T]{value: value, fetched: now, expires: now.Add(freshness(header, now))})
		return value, nil
	})
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case r := <-result:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	}
}

func (c *documentCache[T]) download(ctx context.Context, rawURL string) (T, http.Header, error) {
	var none T
	u, err := url.Parse(rawURL)
	if err != nil {
		return none, nil, err
	}
	if !c.holds(rawURL) && !c.limiter.Allow("fetch_host", strings.ToLower(u.Hostname()), fetchesPerHost) {
		return none, nil, errHostLimit
	}
	d, err := c.egress.FetchJSON(ctx, rawURL, c.limit)
	if err != nil {
		return none, nil, err
	}
	value, err := c.parse(rawURL, d.Body)
	return value, d.Header, err
}

// holds reports whether there is a document of the URL, fresh or not. It costs
// its host a request a minute at most; inventing addresses on that host must
// not use up what is left for it.
func (c *documentCache[T]) holds(rawURL string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.valid.get(rawURL)
	return ok
}

// keep returns the document that a fetch did not replace because its host had
// no answer (RFC 9111 section 4.2.4): whoever depends on it would otherwise
// lose their sign-ins to an outage elsewhere.
func (c *documentCache[T]) keep(rawURL string, failure error) (T, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.valid.get(rawURL)
	now := c.now()
	if !ok || !errors.Is(failure, egress.ErrUnavailable) || !now.Before(d.fetched.Add(maxFresh)) {
		var none T
		return none, false
	}
	if until := now.Add(minFresh); d.expires.Before(until) {
		d.expires = until
		c.valid.put(rawURL, d)
	}
	return d.value, true
}

// failed notes the failure. The first one delays nothing: a client that mends
// its document need not wait. A document that is still fresh stays: strangers
// can cause an early fetch of keys, but must not end the use of good ones.
func (c *documentCache[T]) failed(rawURL string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, _ := c.failures.get(rawURL)
	f.inARow++
	if f.inARow > 1 {
		f.retryAt = c.now().Add(min(firstBackOff<<min(f.inARow-2, 10), maxBackOff))
	}
	c.failures.put(rawURL, f)
}

// freshness returns how long an answer may be kept (RFC 9111 section 4.2),
// within our bounds.
func freshness(h http.Header, now time.Time) time.Duration {
	fresh := defaultFresh
	if expires, err := http.ParseTime(h.Get("Expires")); err == nil {
		fresh = expires.Sub(now)
	}
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			fresh = seconds(strings.Trim(value, `"`)) - seconds(h.Get("Age"))
		}
	}
	return max(minFresh, min(fresh, maxFresh))
}

// seconds reads a number of seconds; what is no number counts as none.
func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
