package relay

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// aboutConnection are headers about one connection, or about who may use another, and two
// that are not.
func aboutConnection() http.Header {
	h := http.Header{"Connection": {"close, x-named", "keep-alive"}}
	for _, name := range []string{
		"Alt-Svc", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "X-Named", "X-Kept", "Cookie",
	} {
		h[name] = []string{"x"}
	}
	return h
}

// What is about one connection ends here, in both directions.
func TestEndToEnd(t *testing.T) {
	kept := []string{"Cookie", "X-Kept"}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = aboutConnection()
	var sent http.Header
	w := httptest.NewRecorder()
	err := new(Relay).Serve(w, r, &to{RoundTripper: roundTrip(func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return &http.Response{StatusCode: 200, Header: aboutConnection(), Body: http.NoBody, Request: r}, nil
	})}, false)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(sent, func(name string, _ []string) bool { return strings.HasPrefix(name, "X-Forwarded-") })
	for side, h := range map[string]http.Header{"request": sent, "answer": w.Header()} {
		delete(h, "Via")
		delete(h, "User-Agent")
		if got := slices.Sorted(maps.Keys(h)); !slices.Equal(got, kept) {
			t.Errorf("%s: got %v, want %v", side, got, kept)
		}
	}
}

// Over HTTP/2, a body may have both a length and trailers. It goes on without the
// trailers, framed as if it had them.
func TestTrailersBehindALength(t *testing.T) {
	r := httptest.NewRequest("POST", "/", io.NopCloser(strings.NewReader("request")))
	r.ContentLength, r.Trailer = 7, http.Header{"X-Late": nil}
	x := &Exchange{relay: new(Relay), request: r, ctx: t.Context()}
	if out := x.NewRequest(0); out.ContentLength != -1 || out.Trailer != nil || out.Body == nil {
		t.Errorf("got length %d, trailers %v, body %v; want a body of unknown length", out.ContentLength, out.Trailer, out.Body)
	}
}
