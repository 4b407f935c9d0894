package clients

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// A change of the configuration sends nobody's document to be fetched again,
// and lets no site use what its own rules would not give it.
func TestDocumentsAcrossConfigurations_H10_H15(t *testing.T) {
	ts, h := newDocumentSite(t, func(c *siteConfig) { c.Registration.RedirectSchemes = []string{"cursor"} })
	id := h.Publish("/c", strings.Replace(goodDocument, `["http:`, `["cursor://host/cb","http:`, 1))
	app := h.Publish("/app", strings.Replace(goodDocument, `["http://localhost/callback","http://127.0.0.1/callback"]`, `["cursor://host/cb"]`, 1))
	for _, id := range []string{id, app} {
		if _, err := ts.lookup(id); err != nil {
			t.Fatal(err)
		}
	}
	before := ts.config
	for name, tc := range map[string]struct {
		change func(*siteConfig)
		egress egress.Options
		uses   bool
		uris   int
		hits   int
	}{
		"reload":           {func(*siteConfig) {}, egress.Options{Loopback: true}, true, 3, 0},
		"another issuer":   {func(c *siteConfig) { c.Issuer = "https://other.example.com" }, egress.Options{Loopback: true}, true, 3, 0},
		"host denied":      {func(c *siteConfig) { c.Registration.DenyHosts = []string{"127.0.0.1"} }, egress.Options{Loopback: true}, false, 0, 0},
		"host not allowed": {func(c *siteConfig) { c.Registration.AllowHosts = []string{"claude.ai"} }, egress.Options{Loopback: true}, false, 0, 0},
		"switched off":     {func(c *siteConfig) { c.Registration.MetadataDocuments = new(false) }, egress.Options{Loopback: true}, false, 0, 0},
		"no loopback":      {func(*siteConfig) {}, egress.Options{}, false, 0, 0},
		"other schemes":    {func(c *siteConfig) { c.Registration.RedirectSchemes = nil }, egress.Options{Loopback: true}, true, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			ts.config = before
			ts.egress = egress.New(tc.egress)
			ts.reload(tc.change)
			hits := h.Hits()
			c, err := ts.lookup(id)
			if (err == nil) != tc.uses || tc.uses && len(c.Metadata.RedirectURIs) != tc.uris {
				t.Errorf("%+v, %v", c, err)
			}
			if n := h.Hits() - hits; n != tc.hits {
				t.Errorf("%d requests", n)
			}
			if name == "other schemes" {
				_, err := ts.lookup(app)
				refusedBecause(t, err, "invalid_client", "A redirect URI must be https") // for this site
			}
		})
	}
	// What is dialled decides, not what it is called: a name that led one site
	// to this machine leads no other there, not even through memory.
	strict := newMetadataDocuments(before.Registration, &DirectoryDeps{Egress: egress.New(egress.Options{}), Documents: ts.documents})
	lax := newMetadataDocuments(before.Registration, &DirectoryDeps{Egress: egress.New(egress.Options{Loopback: true}), Documents: ts.documents})
	if strict.source.rules == lax.source.rules {
		t.Error("sites with another reach share documents")
	}
}

// However many ask, only so many documents are fetched at once. The others
// wait, as long as they like.
func TestDownloadsAtOnce_H11(t *testing.T) {
	ts, h := newDocumentSite(t)
	known := h.Publish("/known", goodDocument, "Cache-Control", "max-age=60")
	if _, err := ts.lookup(known); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var now, most int
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		now += n
		most = max(most, now)
	}
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	slow := func(i int) string {
		path := fmt.Sprint("/slow", i)
		return h.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
			count(1)
			defer count(-1)
			arrived <- struct{}{}
			<-release
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, strings.ReplaceAll(goodDocument, "$ID", h.URL+path))
		})
	}
	const all = 2 * downloadsAtOnce
	var wg sync.WaitGroup
	for i := range all {
		id := slow(i)
		wg.Go(func() {
			if _, err := ts.lookupFrom(fmt.Sprintf("203.0.%d.1", i), id); err != nil {
				t.Error(err)
			}
		})
	}
	for range downloadsAtOnce {
		<-arrived
	}
	impatient, hangUp := context.WithCancel(t.Context())
	hangUp()
	if _, err := ts.directory.documents.source.get(impatient, slow(all), stranger); !errors.Is(err, context.Canceled) {
		t.Errorf("who hung up while waiting: %v", err)
	}
	ts.clock.Advance(61 * time.Second)
	if _, err := ts.lookup(known); err != nil {
		t.Errorf("a known document waits behind strangers: %v", err)
	}
	close(release)
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if most != downloadsAtOnce {
		t.Errorf("%d at once", most)
	}
	if n := h.Hits(); n != all+2 {
		t.Errorf("%d requests", n)
	}
}

// Where too many known documents are being fetched, the rest are answered from
// memory.
func TestBusyAnswersFromMemory_H11(t *testing.T) {
	ts, h := newDocumentSite(t)
	id := h.Publish("/c", goodDocument, "Cache-Control", "max-age=60")
	if _, err := ts.look(t, h, id); err != nil {
		t.Fatal(err)
	}
	leave := fillPlaces(t, ts.documents.downloads.known)
	ts.clock.Advance(61 * time.Second)
	if hits, err := ts.look(t, h, id); hits != 0 || err != nil {
		t.Errorf("%d requests, %v", hits, err)
	}
	ts.clock.Advance(maxFresh)
	if _, err := ts.look(t, h, id); err == nil || oauth.AsError(err).Status != http.StatusBadRequest {
		t.Errorf("after a day: %v", err)
	}
	if _, err := ts.directory.Lookup(t.Context(), id, Requester{Known: true}); err == nil || oauth.AsError(err).Status != http.StatusServiceUnavailable {
		t.Errorf("one who is known here, after a day: %v", err)
	}
	for _, f := range leave {
		f()
	}
	if hits, err := ts.look(t, h, id); hits != 1 || err != nil {
		t.Errorf("busy counts as a failure of the host: %d requests, %v", hits, err)
	}
}

// Whoever came first leaves, or may not ask: those who came along ask themselves.
func TestFirstOfManyLeaves_H11(t *testing.T) {
	h := oauthtest.NewHost(t)
	id := h.Publish("/c", goodDocument)
	synctest.Test(t, func(t *testing.T) {
		ts := newTestSite(t)
		ts.allowLoopback()
		leave := fillPlaces(t, ts.documents.downloads.unknown)
		ctx, hangUp := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		get := func(ctx context.Context, address string, done chan error) {
			_, err := ts.directory.documents.source.get(ctx, id, Requester{Address: address})
			done <- err
		}
		go get(ctx, "192.0.2.1", first)
		synctest.Wait()
		go get(t.Context(), "198.51.100.1", second)
		synctest.Wait()
		hangUp()
		synctest.Wait()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
		leave[0]()
		if err := <-second; err != nil {
			t.Errorf("the second: %v", err)
		}
	})
}

// However much some ask for, at once or of one host, everybody else's first
// request gets through.
func TestNewcomersDuringFlood_H11(t *testing.T) {
	flooders := map[string]func(i int) string{
		"one address":                func(int) string { return "192.0.2.1" },
		"a few addresses":            func(i int) string { return fmt.Sprintf("192.0.%d.1", i%6) },
		"a network of IPv4":          func(i int) string { return fmt.Sprintf("192.0.2.%d", i%256) },
		"all of an IPv6 /48":         func(i int) string { return fmt.Sprintf("2001:db8:1:%x::1", i) },
		"what shares their IPv4 /24": func(i int) string { return fmt.Sprintf("198.51.100.%d", 200+i%6) },
	}
	for name, flooder := range flooders {
		t.Run(name, func(t *testing.T) {
			ts, h := newDocumentSite(t)
			ts.stopLimits()
			for i := range 400 {
				_, _ = ts.lookupFrom(flooder(i), fmt.Sprint(h.URL, "/x", i))
			}
			for i := range 10 {
				if _, err := ts.lookupFrom(fmt.Sprintf("198.51.100.%d", i), h.Publish(fmt.Sprint("/c", i), goodDocument)); err != nil {
					t.Errorf("newcomer %d: %v", i, err)
				}
			}
		})
	}
}

// Nobody waits behind those who have a slow host asked, not even for the same
// document.
func TestNewcomersDuringSlowFlood_H11(t *testing.T) {
	ts, h := newDocumentSite(t)
	release := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(release)
	id := h.Publish("/c", goodDocument)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	look := func(address, id string) { _, _ = ts.directory.Lookup(ctx, id, Requester{Address: address}) }
	for i := range 100 {
		address := fmt.Sprintf("2001:db8:1:%x::1", i)
		h.Handle(fmt.Sprint("/slow", i), func(http.ResponseWriter, *http.Request) { <-release })
		wg.Go(func() { look(address, fmt.Sprint(h.URL, "/slow", i)) })
		wg.Go(func() { look(address, id) })
	}
	oauthtest.Eventually(t, "the flood has not begun", func() bool { return h.Hits() >= downloadsAtOnce/2 })
	for i := range 20 {
		began := time.Now()
		_, err := ts.lookupFrom(fmt.Sprintf("198.51.100.%d", i), h.Publish(fmt.Sprint("/c", i), goodDocument))
		if err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("newcomer %d: %v after %v", i, err, time.Since(began))
		}
	}
	if _, err := ts.lookupFrom("203.0.113.1", id); err != nil {
		t.Errorf("what the flood asks for too: %v", err)
	}
}

// What a sender has to wait for because of all it asks for, nobody else waits
// for with it.
func TestNewcomerAsksForTheSame_H11(t *testing.T) {
	ts, h := newDocumentSite(t)
	id := h.Publish("/c", goodDocument)
	takeAll(ts.documents.downloads.unknown, "2001:db8:1::1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _ = ts.directory.Lookup(ctx, id, Requester{Address: "2001:db8:1::1"}) }()
	places := ts.documents.downloads.unknown
	oauthtest.Eventually(t, "the flood does not wait", func() bool {
		places.mu.Lock()
		defer places.mu.Unlock()
		return len(places.waiting) == 1
	})
	if _, err := ts.lookupFrom("198.51.100.1", id); err != nil {
		t.Error(err)
	}
}

// A web page makes its visitors ask, but leaves them what is theirs.
func TestForeignPageAsksFirst_H11(t *testing.T) {
	ts, h := newDocumentSite(t)
	ts.stopLimits()
	for ts.limiter.Allow("fetch_host", "127.0.0.1", maxFetchesPerHost) {
	}
	id := h.Publish("/c", goodDocument)
	if _, err := ts.directory.Lookup(t.Context(), id, Requester{Address: "192.0.2.1", ForeignPage: true}); err == nil {
		t.Error("a page uses what is left for newcomers")
	}
	if _, err := ts.lookup(id); err != nil {
		t.Errorf("then its visitor: %v", err)
	}
}

// Whoever looked into memory too early, or waited for a place meanwhile, does
// not have fetched again what is there by then.
func TestFetchedMeanwhile_H11(t *testing.T) {
	ts, h := newDocumentSite(t)
	source := ts.directory.documents.source
	id := h.Publish("/c", goodDocument)
	if _, err := ts.lookup(id); err != nil {
		t.Fatal(err)
	}
	if _, err := source.fetch(t.Context(), documentKey{source.rules, id}, stranger, time.Time{}); err != nil || h.Hits() != 1 {
		t.Errorf("looked too early: %v, %d requests", err, h.Hits())
	}
	other, places := h.Publish("/other", goodDocument), ts.documents.downloads.unknown
	leave := fillPlaces(t, places)
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			if _, err := ts.lookupFrom(fmt.Sprintf("198.51.%d.1", i), other); err != nil {
				t.Error(err)
			}
		})
	}
	oauthtest.Eventually(t, "not all wait", func() bool {
		places.mu.Lock()
		defer places.mu.Unlock()
		return len(places.waiting) == 5
	})
	leave[0]() // one after the other
	wg.Wait()
	if n := h.Hits(); n != 2 {
		t.Errorf("%d requests for two documents", n)
	}
}
