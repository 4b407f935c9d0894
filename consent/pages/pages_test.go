package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The policy names the very bytes between the style tags, in any brand.
func TestStyleHash_I17(t *testing.T) {
	for name, brand := range map[string]Brand{
		"default": {},
		"branded": {Name: "</style><script>alert(1)</script>", Accent: "#FFcc00", Logo: onePixel},
	} {
		t.Run(name, func(t *testing.T) {
			pages, err := New(brand)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			pages.Error(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusBadRequest, "message", "id-1")
			_, rest, _ := strings.Cut(w.Body.String(), "<style>")
			style, _, found := strings.Cut(rest, "</style>")
			if !found {
				t.Fatal("no style")
			}
			sum := sha256.Sum256([]byte(style))
			hash := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
			if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, hash) {
				t.Errorf("policy %q lacks %s", csp, hash)
			}
			if strings.Contains(w.Body.String(), "<script") {
				t.Error("the name became an element")
			}
		})
	}
}

func TestErrorPage_I18(t *testing.T) {
	pages, err := New(Brand{})
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{400, 403, 404, 405, 409, 410, 413, 418, 429, 500, 503} {
		w := httptest.NewRecorder()
		pages.Error(w, httptest.NewRequest(http.MethodGet, "/", nil), status, `<svg onload="x">`, "id-1")
		page := w.Body.String()
		if w.Code != status {
			t.Errorf("status = %d, want %d", w.Code, status)
		}
		if strings.Contains(page, "<svg") || !strings.Contains(page, html.EscapeString(`<svg onload="x">`)) {
			t.Errorf("%d: the message is not shown as text", status)
		}
		if !strings.Contains(page, "<code>id-1</code>") {
			t.Errorf("%d: no correlation id", status)
		}
		if strings.Contains(page, "<h1></h1>") || strings.Contains(page, "<p></p>") {
			t.Errorf("%d: no words for it", status)
		}
		if retry := w.Header().Get("Retry-After"); (retry != "") != (status == 429 || status == 503) {
			t.Errorf("%d: Retry-After = %q", status, retry)
		}
	}
}
