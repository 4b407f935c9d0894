package egress

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestSizeAndTime_H05(t *testing.T) {
	const limit = 5 << 10
	t.Run("at the limit", func(t *testing.T) {
		address, _ := site(t, answer(200, "application/json", strings.Repeat("x", limit)))
		d, err := New(Options{Loopback: true}).FetchJSON(t.Context(), address+"/c", limit)
		if err != nil || len(d.Body) != limit {
			t.Fatal(err)
		}
	})
	t.Run("above the limit", func(t *testing.T) {
		address, _ := site(t, answer(200, "application/json", strings.Repeat("x", limit+1)))
		if _, err := New(Options{Loopback: true}).FetchJSON(t.Context(), address+"/c", limit); !errors.Is(err, ErrAnswer) {
			t.Fatal(err)
		}
	})
	t.Run("endless", func(t *testing.T) {
		address, _ := site(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		})
		if _, err := New(Options{Loopback: true}).FetchJSON(t.Context(), address+"/c", limit); !errors.Is(err, ErrAnswer) {
			t.Fatal(err)
		}
	})
	t.Run("large header", func(t *testing.T) {
		address, _ := site(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Large", strings.Repeat("x", maxHeaderBytes+8<<10))
			w.Header().Set("Content-Type", "application/json")
		})
		if _, err := New(Options{Loopback: true}).FetchJSON(t.Context(), address+"/c", limit); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "headers exceeded") {
			t.Fatal(err)
		}
	})
	t.Run("compressed", func(t *testing.T) {
		address, _ := site(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "" {
				t.Error("asked for compression")
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
			_ = z.Close()
		})
		d, err := New(Options{Loopback: true}).FetchJSON(t.Context(), address+"/c", limit)
		if err == nil && len(d.Body) > limit {
			t.Fatal("inflated")
		}
	})
	t.Run("slow", func(t *testing.T) {
		address, _ := site(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			select { // or the test would hang where nothing bounds the time
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		})
		began := time.Now()
		_, err := New(Options{Loopback: true, Timeout: 50 * time.Millisecond}).FetchJSON(t.Context(), address+"/c", limit)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnavailable) || time.Since(began) > 5*time.Second {
			t.Fatal(err)
		}
	})
}

func TestStatusAndType_H06(t *testing.T) {
	for _, tc := range []struct {
		status      int
		contentType string
		ok          bool
	}{
		{200, "application/json", true},
		{200, "application/json; charset=utf-8", true},
		{200, "application/oauth-client+json", true},
		{200, "text/html", false},
		{200, "text/json", false},
		{200, "image/svg+json", false},
		{200, "application/json, text/html", false},
		{200, "", false},
		{201, "application/json", false},
		{204, "application/json", false},
		{206, "application/json", false},
		{404, "application/json", false},
		{500, "application/json", false},
	} {
		t.Run(fmt.Sprint(tc.status, tc.contentType), func(t *testing.T) {
			body := `{}`
			if tc.status == 204 {
				body = ""
			}
			address, _ := site(t, answer(tc.status, tc.contentType, body))
			_, err := New(Options{Loopback: true}).FetchJSON(t.Context(), address+"/c", 100)
			if (err == nil) != tc.ok {
				t.Error(err)
			}
		})
	}
}
