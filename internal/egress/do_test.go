package egress

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestDo_H01(t *testing.T) {
	address, hits := site(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+string(body)+" "+r.UserAgent())
	})
	request := func() *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("a=b"))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, tt := range map[string]struct {
		options Options
		ok      bool
	}{
		"a stranger's address": {Options{}, false},
		"loopback opened":      {Options{Loopback: true}, true},
		"the operator's own":   {Options{Anywhere: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			hits.Store(0)
			resp, err := New(tt.options).Do(request())
			if !tt.ok {
				if !errors.Is(err, ErrURL) || hits.Load() != 0 {
					t.Fatalf("error %v, %d requests", err, hits.Load())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, _ := io.ReadAll(resp.Body); string(body) != "POST a=b "+userAgent {
				t.Errorf("the server saw %q", body)
			}
		})
	}
}

func TestAnywhereIsStillHTTP_H08(t *testing.T) {
	c := New(Options{Anywhere: true})
	for _, u := range []string{"ftp://10.0.0.1/", "file:///etc/passwd", "https:opaque", "http://user@10.0.0.1/"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Do(r); !errors.Is(err, ErrURL) {
			t.Errorf("%s: %v, want ErrURL", u, err)
		}
	}
}

func TestDoFollowsNoRedirect_H03(t *testing.T) {
	address, hits := site(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("secret"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := New(Options{Loopback: true}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect || hits.Load() != 1 {
		t.Errorf("status %d after %d requests", resp.StatusCode, hits.Load())
	}
}
