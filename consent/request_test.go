package consent

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
)

// A form that did not come from our page, in the browser of the flow, changes
// nothing.
func TestForgedForms_I04(t *testing.T) {
	tests := map[string]func(r *http.Request){
		"cross-site":         func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"sibling site":       func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"foreign origin":     func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") },
		"null origin":        func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") },
		"other browser":      func(r *http.Request) { r.Header.Set("Cookie", "flow=browser-2") },
		"neither, no cookie": func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Del("Cookie") },
		"two cookies (I12)":  func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "flow", Value: "browser-1"}) },
	}
	for name, forge := range tests {
		for _, path := range []string{keyPath, userIDPath, anonymousPath, caddyPath, submitPath} {
			t.Run(name+" "+path, func(t *testing.T) {
				s := newSite(t)
				r := goodForm(path)
				forge(r)
				if w := s.do(r); w.Code != http.StatusForbidden {
					t.Errorf("status = %d, want 403", w.Code)
				}
				if s.identity() != nil || s.decided() {
					t.Error("the form had an effect")
				}
			})
		}
	}
	for name, token := range map[string]string{"no token": "", "token of another flow": "csrf-2"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			w := s.post(userIDPath, "user_id", "alice", "csrf_token", token)
			if w.Code != http.StatusForbidden || s.identity() != nil {
				t.Errorf("status = %d, identity = %v", w.Code, s.identity())
			}
		})
	}
}

func goodForm(path string) *http.Request {
	return postRequest(path, "vk", testKey, "user_id", "alice", "decision", "approve", "resource", "x")
}

func TestFramed_I06(t *testing.T) {
	for _, dest := range []string{"iframe", "frame", "embed", "object", "fencedframe"} {
		s := newSite(t)
		r := getRequest("/oauth/consent?flow_id=" + s.flowID)
		r.Header.Set("Sec-Fetch-Dest", dest)
		r.AddCookie(s.flow)
		s.store.Called()
		w := httptest.NewRecorder()
		if s.mux.ServeHTTP(w, r); w.Code != http.StatusForbidden {
			t.Errorf("%s: status = %d, want 403", dest, w.Code)
		}
		if called := s.store.Called(); slices.Contains(called, "Flow") {
			t.Errorf("%s: the flow was opened", dest)
		}
	}
	r := getRequest("/oauth/consent?flow_id=sealed")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if w := newSite(t).do(r); w.Code != http.StatusOK {
		t.Errorf("document: status = %d", w.Code)
	}
}

func TestMalformedRequests(t *testing.T) {
	const urlencoded = "application/x-www-form-urlencoded"
	good := url.Values{"flow_id": {"sealed"}, "csrf_token": {"csrf-1"}, "user_id": {"alice"}}.Encode()
	tests := map[string]struct {
		method, target, media, body string
		status                      int
	}{
		"good":                  {"POST", userIDPath, urlencoded, good, 303},
		"good with charset":     {"POST", userIDPath, urlencoded + "; charset=utf-8", good, 303},
		"GET of a form":         {"GET", userIDPath, "", "", 405},
		"POST to a page":        {"POST", "/oauth/consent", urlencoded, good, 405},
		"DELETE of a page":      {"DELETE", "/oauth/consent/mcps?flow_id=sealed", "", "", 405},
		"no media type":         {"POST", userIDPath, "", good, 400},
		"JSON":                  {"POST", userIDPath, "application/json", `{"flow_id":"sealed"}`, 400},
		"multipart":             {"POST", userIDPath, "multipart/form-data; boundary=x", "--x--", 400},
		"broken escape":         {"POST", userIDPath, urlencoded, good + "&x=%zz", 400},
		"semicolon":             {"POST", userIDPath, urlencoded, good + ";x=1", 400},
		"64 KiB":                {"POST", userIDPath, urlencoded, good + "&x=" + strings.Repeat("a", 64<<10), 413},
		"two user ids":          {"POST", userIDPath, urlencoded, good + "&user_id=bob", 400},
		"two flows":             {"POST", userIDPath, urlencoded, good + "&flow_id=sealed", 400},
		"flow in the query":     {"POST", userIDPath + "?flow_id=sealed", urlencoded, "csrf_token=csrf-1&user_id=alice", 400},
		"user id in the query":  {"POST", userIDPath + "?user_id=bob", urlencoded, "flow_id=sealed&csrf_token=csrf-1", 303},
		"token in the query":    {"POST", userIDPath + "?csrf_token=csrf-1", urlencoded, "flow_id=sealed&user_id=alice", 403},
		"page without a flow":   {"GET", "/oauth/consent", "", "", 400},
		"page with two flows":   {"GET", "/oauth/consent?flow_id=sealed&flow_id=sealed", "", "", 400},
		"page of broken escape": {"GET", "/oauth/consent?flow_id=sealed&x=%zz", "", "", 400},
		"HEAD of a page":        {"HEAD", "/oauth/consent?flow_id=sealed", "", "", 200},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			r := httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
			r.AddCookie(&http.Cookie{Name: "flow", Value: "browser-1"})
			if tt.media != "" {
				r.Header.Set("Content-Type", tt.media)
			}
			w := s.do(r)
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d", w.Code, tt.status)
			}
			if s.identity() != nil && s.identity().Name != "alice" {
				t.Errorf("identity = %+v", s.identity())
			}
			if (w.Code == http.StatusMethodNotAllowed) != (w.Header().Get("Allow") != "") {
				t.Errorf("Allow = %q", w.Header().Get("Allow"))
			}
		})
	}
}

func TestFlowErrorsInWords(t *testing.T) {
	tests := map[string]struct {
		err    error
		status int
	}{
		"invalid":       {flows.ErrInvalid, 400},
		"expired":       {flows.ErrExpired, 410},
		"other browser": {flows.ErrOtherBrowser, 403},
		"forged":        {sessions.ErrForged, 403},
		"submitted":     {flows.ErrSubmitted, 409},
		"changed":       {flows.ErrChanged, 409},
		"client gone":   {&oauth.Error{Status: 400, Code: "invalid_client", Description: "The client is gone."}, 400},
		"OAuth 503":     {&oauth.Error{Status: 503, Code: "temporarily_unavailable", Cause: http.ErrServerClosed}, 503},
		"store down":    {http.ErrServerClosed, 503},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.logs.TakeAll() // of how it was set up
			fails := func(http.ResponseWriter, *http.Request) error { return tt.err }
			page, form := s.pages.requests.get(fails), s.pages.requests.post(fails)
			answers := func(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				return w
			}
			for _, w := range []*httptest.ResponseRecorder{
				answers(page, getRequest("/oauth/consent?flow_id=sealed")), answers(form, goodForm(submitPath)),
			} {
				if w.Code != tt.status {
					t.Errorf("status = %d, want %d", w.Code, tt.status)
				}
				for _, secret := range []string{http.ErrServerClosed.Error(), "authz:"} {
					if strings.Contains(w.Body.String(), secret) {
						t.Errorf("the page says %q", secret)
					}
				}
			}
			// An operator is warned of the first, the others are noted.
			if first := s.logs.All()[0]; (first.Level.String() == "error") != (tt.status == 503) {
				t.Errorf("logged as %s: %v", first.Level, first.ContextMap())
			}
			id, _ := s.logs.All()[0].ContextMap()["correlation_id"].(string)
			if again := answers(page, getRequest("/oauth/consent")).Body.String(); id == "" || strings.Contains(again, id) {
				t.Errorf("correlation id %q is missing or used twice", id)
			}
		})
	}
}

// The id on the page is the one in the log.
func TestCorrelationID(t *testing.T) {
	s := newSite(t)
	s.logs.TakeAll() // of how it was set up
	page := s.get("/oauth/consent?flow_id=other").Body.String()
	id, _ := s.logs.All()[0].ContextMap()["correlation_id"].(string)
	if id == "" || !strings.Contains(page, "<code>"+id+"</code>") {
		t.Errorf("log has %q, page:\n%s", id, page)
	}
}
