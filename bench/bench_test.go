package main

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

func TestCommitsReadsWhatBboltCounts(t *testing.T) {
	dir := t.TempDir()
	g, path := &gateway{records: inFile(dir)}, filepath.Join(dir, "mcp_oauth.db")
	if n, err := g.commits(); n != 0 || err != nil {
		t.Fatalf("no database yet: %d, %v", n, err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	before, err := g.commits()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := db.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists([]byte("b"))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := g.commits(); err != nil || after-before != 3 {
		t.Errorf("counted %d commits of 3, %v", after-before, err)
	}
}

func TestConnReadsAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			w.Header().Set("X-Name", "value")
			_, _ = w.Write([]byte("short"))
		case "/chunked":
			for range 3 {
				_, _ = w.Write(bytes.Repeat([]byte("x"), 3000))
				_ = http.NewResponseController(w).Flush()
			}
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	c, err := dial(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for range 2 { // on one connection: each answer is read to its end
		for path, want := range map[string]struct{ status, length int }{
			"/short": {200, 5}, "/chunked": {200, 9000}, "/none": {204, 0},
		} {
			a, err := c.do([]byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
			if err != nil || a.status != want.status || len(a.body) != want.length {
				t.Errorf("%s: %d, %d bytes, %v", path, a.status, len(a.body), err)
			}
			if path == "/short" && string(a.header("x-name")) != "value" {
				t.Errorf("header: %q", a.header("x-name"))
			}
		}
	}
}

func TestFormFields(t *testing.T) {
	page := []byte(`<form action="/other"><input type="hidden" name="a" value="0"></form>
<form method="post" action="/it"><input type="hidden" name="a" value="1&amp;2">
<input type="checkbox" name="b" value="x" checked><input type="checkbox" name="b" value="y">
<input type="text" name="c"><button name="d" value="go">Go</button></form>`)
	fields, err := formFields(page, "/it")
	if got := fields.Encode(); err != nil || got != "a=1%262&b=x&d=go" {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := formFields(page, "/missing"); err == nil {
		t.Error("a form that is not there was found")
	}
}

func TestMedian(t *testing.T) {
	values := []float64{9, 1, 5, 3, 7}
	if m := median(values); m != 5 {
		t.Errorf("median %v", m)
	}
	if m := median(values[:4]); m != 4 { // of 9, 1, 5, 3
		t.Errorf("median of an even number %v", m)
	}
	if low, high := medianInterval(values); low != 1 || high != 9 {
		t.Errorf("five values tell nothing: %v–%v", low, high)
	}
	if got := withInterval(values); got != "5.000 (95 %: 1.000–9.000, n = 5)" {
		t.Error(got)
	}
	if !math.IsNaN(median(nil)) {
		t.Error("the median of nothing is a number")
	}
	if d := quantile([]time.Duration{1, 2, 3, 4}, 0.99); d != 4 {
		t.Errorf("quantile %v", d)
	}
}

// The true median lies between two order statistics unless too many or too few of the
// values lie below it, each of which does so as often as a coin falls on its head.
func TestMedianIntervalIsAsWideAsItSays(t *testing.T) {
	for n := 8; n <= 400; n++ {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(i)
		}
		low, high := medianInterval(values)
		coverage, chance := 0.0, math.Exp2(-float64(n)) // that k values lie below
		for k := range n + 1 {
			if k > int(low) && k <= int(high) {
				coverage += chance
			}
			chance *= float64(n-k) / float64(k+1)
		}
		if coverage < 0.945 { // 95 %, rounded
			t.Errorf("of %d values, it has the median %.1f %% of the time", n, 100*coverage)
		}
	}
}

func TestRefusalsAreComparedByTheirShape(t *testing.T) {
	shape := func(head, body string) string { return answer{401, []byte(head), []byte(body)}.shape() }
	one := shape("Server: Caddy\r\nDate: now\r\n", "12")
	if other := shape("Date: now\r\nServer: Caddy\r\n", "34"); one != other {
		t.Errorf("%s and %s differ", one, other)
	}
	for _, other := range []string{shape("Server: Caddy\r\nDate: now\r\n", "1"), shape("Server: Caddy\r\nData: now\r\n", "12"), shape("Server: Caddys\r\nDate: now\r\n", "12")} {
		if one == other {
			t.Errorf("%s is the same as another", one)
		}
	}
}

func TestVariantsSayWhatTheyAre(t *testing.T) {
	names := map[string]bool{}
	for _, v := range variants {
		if v.name == "" || names[v.name] {
			t.Errorf("two variants are called %q", v.name)
		}
		names[v.name] = true
		if in := v.in("/home"); strings.Contains(in.options+in.sites+in.gate, "{home}") {
			t.Errorf("%s: a folder is missing", v.name)
		}
	}
}

func TestHTTP2ClientReadsAnswers(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.Copy(w, r.Body)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "https://")
	for _, dial := range []func(string) (client, error){dialHTTP2, dialTLS} {
		c, err := dial(addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		for range 2 {
			a, err := c.do(call(addr, "token"))
			if err != nil || a.status != http.StatusTeapot || string(a.body) != callBody {
				t.Errorf("%d, %q, %v", a.status, a.body, err)
			}
		}
	}
}

func TestCallsHaveTheSizeTheyPromise(t *testing.T) {
	r := call("127.0.0.1:1", "token")
	if _, body, ok := bytes.Cut(r, []byte("\r\n\r\n")); !ok || len(body) != 240 {
		t.Errorf("%d bytes of body", len(body))
	}
	if n := len(jsonOfSize(1024)); n != 1024 {
		t.Errorf("an answer of %d bytes", n)
	}
	next := strangers("h")(3)
	first := string(next())
	if second := string(next()); first == second || len(first) != len(second) {
		t.Error("strangers repeat themselves")
	}
}
