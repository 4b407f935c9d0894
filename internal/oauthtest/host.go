package oauthtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// Host is a web server of single pages, which a test can replace: an MCP server,
// a provider, somebody else's address. It remembers what it was asked.
type Host struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]http.HandlerFunc
	other http.HandlerFunc // answers what is no page
	seen  []Request
}

// Request is what a Host was asked. Its query is URL.Query().
type Request struct {
	*http.Request
	Path string
	// Body hides that of the request, which was read.
	Body string
	// Form is the body, read as one.
	Form url.Values
}

// NewHost starts a host without pages. It is closed when the test ends.
func NewHost(t testing.TB) *Host {
	return Serve(t, http.NotFound)
}

// Serve starts a host that answers everything so; if nil, with an empty page.
// It is closed when the test ends.
func Serve(t testing.TB, answer http.HandlerFunc) *Host {
	h := &Host{pages: map[string]http.HandlerFunc{}, other: answer}
	if answer == nil {
		h.other = func(http.ResponseWriter, *http.Request) {}
	}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	h.mu.Lock()
	h.seen = append(h.seen, Request{r, r.URL.Path, string(body), form})
	page := h.pages[r.URL.Path]
	h.mu.Unlock()
	if page == nil {
		page = h.other
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	page(w, r)
}

// Page has the host answer a path, and returns how it did before. A nil page
// removes it.
func (h *Host) Page(path string, page http.HandlerFunc) (former http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	former = h.pages[path]
	h.pages[path] = page
	return former
}

// Requests returns what the path was asked.
func (h *Host) Requests(path string) []Request {
	return slices.DeleteFunc(h.AllRequests(), func(r Request) bool { return r.Path != path })
}

// AllRequests returns what the host was asked.
func (h *Host) AllRequests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.seen)
}

// Last returns what the host was asked last, and fails the test if that is nothing.
func (h *Host) Last(t testing.TB) Request {
	t.Helper()
	all := h.AllRequests()
	if len(all) == 0 {
		t.Fatalf("%s got 0 requests, want one", h.URL)
	}
	return all[len(all)-1]
}

// Hits counts what the host was asked.
func (h *Host) Hits() int { return len(h.AllRequests()) }

// Forget forgets what the host was asked.
func (h *Host) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = nil
}

// Object is a JSON object.
type Object = map[string]any

// With returns an object with one member changed; nil removes it.
func With(o Object, name string, value any) Object {
	if value == nil {
		delete(o, name)
		return o
	}
	o[name] = value
	return o
}

// Document answers with JSON.
func Document(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

// Answer answers with a body.
func Answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Redirect answers with a redirect that repeats the request.
func Redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// HangUp closes the connection without an answer.
func HangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
