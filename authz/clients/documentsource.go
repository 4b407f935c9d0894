package clients

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// What unknown clients can make this server fetch, per minute: one of them, from
// anywhere, and all of them together, from one host. The first fetch that an
// address asks of a host is counted apart from all that others ask further: a
// few who invent addresses on a host leave enough for each newcomer. Known
// documents are not counted: each costs its host a request a minute at most.
const (
	maxFetchesPerAddress = 20
	maxFetchesPerHost    = 120
	firstFetchesPerHost  = 240
)

// Errors of a fetch that was not tried.
var (
	errBackOff   = errors.New("the last fetches failed; waiting")
	errHostLimit = errors.New("too many fetches from this host")
	// errLeft tells that the request for a fetch ended before it could start.
	errLeft = errors.New("gave up waiting")

	errTooManyFetches = &oauth.Error{
		Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Reason: "too_many_lookups",
		Description: "Too many clients were looked up from your address; try again in a minute.",
	}
)

// Requester is who makes this server look up a client, and so perhaps fetch
// something.
type Requester struct {
	Address string
	// ForeignPage tells that a web page from elsewhere made a browser send the
	// request, see oauth.Origins.
	ForeignPage bool
	// Known tells that the client was known here before: the request brings
	// what only this server could have issued for it, or the operator named it.
	Known bool
}

// RequesterOf returns who sent a request, as far as only that tells.
func RequesterOf(r *http.Request, a *ratelimit.Attempts) Requester {
	return Requester{Address: a.ClientIP(r), ForeignPage: a.Origins.FromForeignPage(r)}
}

// documentSource reads documents of one kind for one authorization server: as
// far as it may reach, by its rules, from the cache of the process.
type documentSource[T any] struct {
	cache     *documentCache[T]
	downloads *downloads
	watched   *watchedHosts
	egress    *egress.Client
	limiter   *ratelimit.Limiter
	now       func() time.Time
	// rules tells apart the sources that would take another document, or none,
	// from the same URL.
	rules string
	limit int64 // of a document, in bytes
	parse func(url string, body []byte) (T, error)
}

// newDocumentSource returns a source whose parse depends on nothing but rules.
func newDocumentSource[T any](deps *DirectoryDeps, watched *watchedHosts, cache *documentCache[T], rules string, limit int64, parse func(string, []byte) (T, error)) *documentSource[T] {
	return &documentSource[T]{
		cache: cache, downloads: deps.Documents.downloads, watched: watched, egress: deps.Egress, limiter: deps.Limiter, now: deps.Now,
		rules: deps.Egress.Reach() + " " + rules, limit: limit, parse: parse,
	}
}

// get returns the document at the URL, from the cache while it is fresh.
func (s *documentSource[T]) get(ctx context.Context, rawURL string, by Requester) (T, error) {
	return s.newerThan(ctx, rawURL, by, time.Time{})
}

// use keeps the document at the URL from being evicted by those of unknown clients.
func (s *documentSource[T]) use(rawURL string) { s.cache.use(documentKey{s.rules, rawURL}) }

// newerThan returns a fresh document that was fetched after a moment. It
// fetches none within a minute of the last one.
//
// It fails with an *Error temporarily_unavailable where trying again helps and
// saying so tells nobody about a host they chose. Any other error is for the
// log only.
func (s *documentSource[T]) newerThan(ctx context.Context, rawURL string, by Requester, after time.Time) (T, error) {
	var none T
	key, now := documentKey{s.rules, rawURL}, s.now()
	d, held, retryAt := s.cache.look(key)
	if held && d.usable(now, after) {
		return d.value, nil
	}
	value, err := none, errBackOff
	if !now.Before(retryAt) {
		// That it was good once spares it the budgets of unknown clients, no more:
		// anybody may have published it.
		fetcher := by
		fetcher.Known = held || by.Known
		value, err = s.fetch(ctx, key, fetcher, after)
	}
	if err != nil && by.Known && passing(err) {
		return none, oauth.Unavailable(err)
	}
	return value, err
}

// passing reports whether a fetch failed for a reason that says nothing about
// the document.
func passing(err error) bool {
	for _, reason := range []error{egress.ErrUnavailable, errBackOff, errHostLimit, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// tryLater returns the refusal that passes, if err is one.
func tryLater(err error) *oauth.Error {
	if e := (*oauth.Error)(nil); errors.As(err, &e) && e.Code == "temporarily_unavailable" {
		return e
	}
	return nil
}

// fetch gets the document, once for all whom one sender lets ask at the same
// time: none waits because of how much another asked for. It goes on when the
// first of them hangs up, unless it has not begun.
func (s *documentSource[T]) fetch(ctx context.Context, key documentKey, by Requester, after time.Time) (T, error) {
	var none T
	flight := strings.Join([]string{strconv.FormatBool(by.Known), ratelimit.SenderBlock(by.Address), key.rules, key.url}, " ")
	for ctx.Err() == nil {
		first := false
		result := s.cache.flight.DoChan(flight, func() (any, error) {
			first = true
			return s.download(ctx, key, by, after)
		})
		select {
		case <-ctx.Done():
		case r := <-result:
			if r.Err == nil {
				return r.Val.(T), nil
			}
			if ofOne := errors.Is(r.Err, errLeft) || errors.Is(r.Err, errTooManyFetches); first || !ofOne {
				return none, r.Err
			}
			// Nothing was fetched, for a reason of whoever came first.
		}
	}
	return none, ctx.Err()
}

// download fetches the document when its turn has come, unless somebody else
// did by then. A known one that cannot be had now is answered from memory.
func (s *documentSource[T]) download(ctx context.Context, key documentKey, by Requester, after time.Time) (T, error) {
	var none T
	if d, ok, _ := s.cache.look(key); ok && d.usable(s.now(), after) {
		return d.value, nil
	}
	u, err := url.Parse(key.url)
	if err != nil {
		return none, err
	}
	if !by.Known && !s.limiter.AllowShared(ctx, ratelimit.KindFor("fetch_address", by.ForeignPage), by.Address, "", maxFetchesPerAddress) {
		return none, errTooManyFetches
	}
	if !by.Known && !s.allowHost(ctx, strings.ToLower(u.Hostname()), by) {
		return none, errHostLimit
	}
	leave, err := s.downloads.enter(ctx, by.Address, by.Known)
	switch {
	case errors.Is(err, errBusy):
		return s.cache.keep(key, err, s.now())
	case err != nil:
		return none, errLeft
	}
	defer leave()
	if d, ok, _ := s.cache.look(key); ok && d.usable(s.now(), after) {
		return d.value, nil
	}
	value, header, err := s.read(context.WithoutCancel(ctx), key.url)
	if err != nil {
		s.cache.failed(key, s.now())
		return s.cache.keep(key, err, s.now())
	}
	s.cache.fetched(key, value, s.now(), freshness(header, s.now()))
	return value, nil
}

// allowHost reports whether one more document may be fetched from the host for
// an unknown client, and counts it.
func (s *documentSource[T]) allowHost(ctx context.Context, host string, by Requester) bool {
	first := !by.ForeignPage && s.limiter.AllowShared(ctx, "fetch_first", by.Address, host, 1)
	return first && s.limiter.AllowShared(ctx, "fetch_host_first", host, "", firstFetchesPerHost) ||
		s.limiter.AllowShared(ctx, "fetch_host", host, "", maxFetchesPerHost)
}

func (s *documentSource[T]) read(ctx context.Context, rawURL string) (T, http.Header, error) {
	d, err := s.egress.FetchJSON(ctx, rawURL, s.limit)
	s.watched.note(rawURL, err)
	if err != nil {
		var none T
		return none, nil, err
	}
	value, err := s.parse(rawURL, d.Body)
	return value, d.Header, err
}
