package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/net/http/httpguts"
)

// E12: no name can inject a header, be cut to another name, or look like one.
func TestHeaderValue_E12(t *testing.T) {
	for in, want := range map[string]string{
		"alice": "alice", "Alice B.": "Alice B.", "a\r\nX-Admin: 1": "a%0D%0AX-Admin: 1", "ö": "%C3%B6",
		"50%": "50%25", " a ": "%20a%20", "": "", strings.Repeat("a", maxIdentityHeader+1): "",
		strings.Repeat("a", maxIdentityHeader): strings.Repeat("a", maxIdentityHeader),
	} {
		if got := headerValue(in); got != want {
			t.Errorf("%.20q becomes %.40q, want %.40q", in, got, want)
		}
	}
}

// E12: any name makes a valid header, from which the name can be read again:
// no two people look alike.
func FuzzHeaderValue(f *testing.F) {
	for _, s := range []string{"alice", " a ", "a\r\nb", "100%", "ö\x00\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value := headerValue(text)
		if value == "" && len(text) <= maxIdentityHeader/3 && text != "" {
			t.Fatalf("%q got lost", text)
		}
		if !httpguts.ValidHeaderFieldValue(value) || strings.TrimSpace(value) != value || len(value) > maxIdentityHeader {
			t.Fatalf("%q becomes %q", text, value)
		}
		if back, err := url.PathUnescape(value); value != "" && (err != nil || back != text) {
			t.Fatalf("%q becomes %q, which reads %q", text, value, back)
		}
	})
}

func TestForgetHeaders(t *testing.T) {
	http1, http2 := &http.Response{ProtoMajor: 1}, &http.Response{ProtoMajor: 2}
	for name, tc := range map[string]struct {
		logged bool
		res    *http.Response
		kept   bool
	}{
		"nobody looks": {false, http1, false},
		"failed":       {false, nil, false},
		"logged":       {true, http1, true},
		"HTTP/2":       {false, http2, true},
	} {
		req := httptest.NewRequest("POST", "/mcp", nil)
		req.Header.Set("Accept", "x")
		(&proxied{logged: tc.logged}).forgetHeaders(req, tc.res)
		if kept := req.Header.Get("Accept") != ""; kept != tc.kept {
			t.Errorf("%s: kept %v", name, kept)
		}
	}
}

// A request gets nowhere unless this very proxy sent it, for a caller.
func TestRequestWithoutCaller(t *testing.T) {
	here, elsewhere := new(target), new(target)
	for name, call := range map[string]*Call{"of nobody": nil, "of another proxy": {target: elsewhere}, "of none": {}} {
		vars := map[string]any{}
		if call != nil {
			vars[callKey] = call
		}
		r := httptest.NewRequest("POST", "/mcp", nil)
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars))
		if _, err := (&proxied{transport: transport{target: here}}).RoundTrip(r); !errors.Is(err, errNotGated) {
			t.Errorf("%s: got %v, want %v", name, err, errNotGated)
		}
	}
}
