package clients

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func TestFreshness_AS23_H10(t *testing.T) {
	now := testStart
	for name, tc := range map[string]struct {
		headers []string
		want    time.Duration
	}{
		"nothing said":           {nil, defaultFresh},
		"max-age":                {[]string{"Cache-Control", "public, max-age=600"}, 10 * time.Minute},
		"quoted":                 {[]string{"Cache-Control", `max-age="600"`}, 10 * time.Minute},
		"upper case":             {[]string{"Cache-Control", "MAX-AGE=600"}, 10 * time.Minute},
		"age":                    {[]string{"Cache-Control", "max-age=600", "Age", "300"}, 5 * time.Minute},
		"short":                  {[]string{"Cache-Control", "max-age=1"}, minFresh},
		"zero":                   {[]string{"Cache-Control", "max-age=0"}, minFresh},
		"long":                   {[]string{"Cache-Control", "max-age=31536000"}, maxFresh},
		"longer than time":       {[]string{"Cache-Control", "max-age=99999999999999999999"}, minFresh},
		"negative":               {[]string{"Cache-Control", "max-age=-5"}, minFresh},
		"older than it may be":   {[]string{"Cache-Control", "max-age=600", "Age", "6000"}, minFresh},
		"no-store":               {[]string{"Cache-Control", "max-age=600, no-store"}, minFresh},
		"no-cache":               {[]string{"Cache-Control", "no-cache"}, minFresh},
		"Expires":                {[]string{"Expires", now.Add(time.Hour).Format(http.TimeFormat)}, time.Hour},
		"expired":                {[]string{"Expires", "0", "Cache-Control", ""}, defaultFresh},
		"Expires in the past":    {[]string{"Expires", now.Add(-time.Hour).Format(http.TimeFormat)}, minFresh},
		"max-age before Expires": {[]string{"Cache-Control", "max-age=600", "Expires", now.Add(time.Hour).Format(http.TimeFormat)}, 10 * time.Minute},
	} {
		h := http.Header{}
		for i := 0; i < len(tc.headers); i += 2 {
			h.Set(tc.headers[i], tc.headers[i+1])
		}
		if got := freshness(h, now); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// look asks for a document and returns how many requests that made.
func (ts *testSite) look(t *testing.T, h *oauthtest.Host, id string) (int, error) {
	t.Helper()
	before := h.Hits()
	_, err := ts.lookup(id)
	return h.Hits() - before, err
}

func TestDocumentCached_AS23(t *testing.T) {
	ts, h := newDocumentSite(t)
	id := h.Publish("/c", goodDocument, "Cache-Control", "max-age=120")
	for _, step := range []struct {
		after time.Duration
		hits  int
	}{{0, 1}, {0, 0}, {119 * time.Second, 0}, {2 * time.Second, 1}, {time.Minute, 0}} {
		ts.clock.Advance(step.after)
		if hits, err := ts.look(t, h, id); err != nil || hits != step.hits {
			t.Errorf("after %v: %d requests, %v", step.after, hits, err)
		}
	}
	// What cannot be had any more is not answered from memory.
	h.Handle("/c", http.NotFound)
	ts.clock.Advance(2 * time.Minute)
	_, err := ts.look(t, h, id)
	refusedBecause(t, err, "invalid_client", "status 404") // and no stale document
}

func TestBackOff_H10_H11(t *testing.T) {
	ts, h := newDocumentSite(t)
	id := h.Handle("/c", http.NotFound)
	for i, step := range []struct {
		after time.Duration
		hits  int
	}{
		{0, 1}, {0, 1}, // the second try waits for nothing
		{0, 0}, {time.Second, 0}, {time.Second, 1}, // then 2 seconds
		{3 * time.Second, 0}, {time.Second, 1}, // 4 seconds
		{7 * time.Second, 0}, {time.Second, 1}, // 8 seconds
		{16 * time.Second, 1}, {32 * time.Second, 1}, {time.Minute, 1}, {time.Minute, 1}, {59 * time.Second, 0},
	} {
		ts.clock.Advance(step.after)
		hits, err := ts.look(t, h, id)
		if hits != step.hits {
			t.Errorf("step %d: %d requests, %v", i, hits, err)
		}
		if why := map[int]string{0: errBackOff.Error(), 1: "status 404"}[hits]; true {
			refusedBecause(t, err, "invalid_client", why)
		}
	}
	h.Publish("/c", goodDocument)
	ts.clock.Advance(time.Minute)
	if _, err := ts.look(t, h, id); err != nil {
		t.Fatal(err)
	}
	h.Handle("/c", http.NotFound)
	ts.clock.Advance(time.Hour)
	for range 2 {
		if hits, _ := ts.look(t, h, id); hits != 1 {
			t.Error("success does not end the back-off")
		}
	}
}

func TestReflector_H11(t *testing.T) {
	ts, h := newDocumentSite(t)
	ts.stopLimits()
	for i := range 1000 {
		_, _ = ts.lookup(fmt.Sprint(h.URL, "/x", i))
	}
	if n := h.Hits(); n != maxFetchesPerAddress {
		t.Errorf("%d requests for one address", n)
	}
	ts.reload(func(*siteConfig) {}) // gives nobody a new start
	for i := range 1000 {
		_, _ = ts.lookupFrom(fmt.Sprintf("198.51.100.%d", i%250), fmt.Sprint(h.URL, "/y", i))
	}
	if n := h.Hits(); n < maxFetchesPerHost || n > maxFetchesPerHost+firstFetchesPerHost {
		t.Errorf("%d requests to one host", n)
	}
	for i := range 2 * firstFetchesPerHost { // as many senders
		_, _ = ts.lookupFrom(fmt.Sprintf("10.%d.%d.1", i/250, i%250), fmt.Sprint(h.URL, "/z", i))
	}
	if n := h.Hits(); n != maxFetchesPerHost+firstFetchesPerHost {
		t.Errorf("%d requests to one host, from however many", n)
	}
	other := oauthtest.NewHost(t) // the same address: ports do not make another host
	if _, err := ts.lookupFrom("203.0.113.9", other.Publish("/c", goodDocument)); err == nil {
		t.Error("another port of the same host is asked")
	}
}

func TestOneFetchForAll_H11(t *testing.T) {
	ts, h := newDocumentSite(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	id := h.URL + "/c"
	h.Handle("/c", func(w http.ResponseWriter, r *http.Request) {
		close(arrived) // a second request would panic
		<-release
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"client_id":%q,"client_name":"c","redirect_uris":["http://localhost/cb"]}`, id)
	})
	// The first caller hangs up; the fetch goes on for the others.
	ctx, hangUp := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := ts.directory.documents.lookup(ctx, id, stranger)
		first <- err
	}()
	<-arrived
	hangUp()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller: %v", err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := ts.lookup(id); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	wg.Wait()
	if n := h.Hits(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestCacheBounded_H10(t *testing.T) {
	c := NewDocumentCache().clients
	key := func(i int) documentKey { return documentKey{url: fmt.Sprint("https://client.example/", i)} }
	for i := range 10_000 {
		c.failed(key(i), testStart)
		c.failed(key(i), testStart)
		c.fetched(key(i), &Client{}, testStart, time.Hour)
		c.failed(key(i), testStart)
	}
	for name, n := range map[string]int{
		"documents": c.valid.others.Len(), "failures": c.failures.Len(),
	} {
		if n != maxDocuments {
			t.Errorf("%d %s", n, name)
		}
	}
	if _, ok, _ := c.look(key(9999)); !ok {
		t.Error("forgot the newest")
	}
}

// Strangers who publish good documents push out none of a client that people let
// in: it must survive an outage of its host.
func TestDocumentInUseStays_H10(t *testing.T) {
	ts, h := newDocumentSite(t)
	id, idle := h.Publish("/c", goodDocument), h.Publish("/idle", goodDocument)
	for _, known := range []string{id, idle} {
		if _, err := ts.lookup(known); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ts.authenticate("192.0.2.1", nil, "client_id", id, "code", ts.code(id)); err != nil {
		t.Fatal(err)
	}
	cache, rules := ts.documents.clients, ts.directory.documents.source.rules
	for i := range 2 * maxDocuments {
		cache.fetched(documentKey{rules, fmt.Sprint("https://stranger.example/", i)}, &Client{}, ts.clock.Now(), time.Hour)
	}
	if _, ok, _ := cache.look(documentKey{rules, id}); !ok {
		t.Error("the document of a client in use was pushed out")
	}
	if _, ok, _ := cache.look(documentKey{rules, idle}); ok {
		t.Error("nothing was pushed out")
	}
	cache.fetched(documentKey{rules, id}, &Client{ID: "new"}, ts.clock.Now(), time.Hour)
	if d, _, _ := cache.look(documentKey{rules, id}); d.value.ID != "new" {
		t.Error("a newer document of a client in use is not kept")
	}
}

// Whoever invents addresses on a host must not keep its real client out: not
// one that was seen before, whoever asks, and none at all for somebody else.
func TestInventedDocuments_H11(t *testing.T) {
	ts, h := newDocumentSite(t)
	ts.stopLimits()
	id := h.Publish("/c", goodDocument, "Cache-Control", "max-age=60")
	if _, err := ts.look(t, h, id); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxFetchesPerAddress {
		_, _ = ts.lookup(fmt.Sprint(h.URL, "/x", i))
	}
	if _, err := ts.lookupFrom("198.51.100.7", h.Publish("/new", goodDocument)); err != nil {
		t.Errorf("a new client from elsewhere: %v", err)
	}
	for i := range 2 * maxFetchesPerHost {
		_, _ = ts.lookupFrom(fmt.Sprintf("203.0.113.%d", i), fmt.Sprint(h.URL, "/y", i))
	}
	ts.clock.Advance(2 * time.Minute)
	if hits, err := ts.look(t, h, id); err != nil || hits != 1 {
		t.Errorf("%d requests, %v", hits, err)
	}
}

// An outage of the host leaves its clients signed in; a document that was taken
// back, or is another now, ends at once.
func TestOutageKeepsDocument_AS23(t *testing.T) {
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for name, tc := range map[string]struct {
		serve http.HandlerFunc
		kept  bool
	}{
		"broken":   {answer(http.StatusBadGateway), true},
		"busy":     {answer(http.StatusTooManyRequests), true},
		"hangs up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
		"gone":     {answer(http.StatusGone), false},
		"moved":    {answer(http.StatusFound), false},
		"not JSON": {answer(http.StatusOK), false},
		"another client": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(strings.ReplaceAll(goodDocument, "$ID", "https://other.example/c")))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			ts, h := newDocumentSite(t)
			id := h.Publish("/c", goodDocument, "Cache-Control", "max-age=60")
			if _, err := ts.look(t, h, id); err != nil {
				t.Fatal(err)
			}
			h.Handle("/c", tc.serve)
			ts.clock.Advance(61 * time.Second)
			if _, err := ts.look(t, h, id); (err == nil) != tc.kept {
				t.Errorf("while the host has no document: %v", err)
			}
			if !tc.kept {
				return
			}
			if hits, err := ts.look(t, h, id); hits != 0 || err != nil {
				t.Errorf("within the minute: %d requests, %v", hits, err)
			}
			ts.clock.Advance(maxFresh)
			_, err := ts.look(t, h, id)
			refusedBecause(t, err, "invalid_client", "egress: ") // kept for a day, no longer
		})
	}
}
