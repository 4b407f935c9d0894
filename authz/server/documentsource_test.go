package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
)

// askAs posts the parameters as the client with the ID.
func (ts *testServer) askAs(path, id string, parameters ...string) reply {
	ts.t.Helper()
	return ts.post(path, id, with(url.Values{"grant_type": {"refresh_token"}}, parameters...))
}

// A client forgets its tokens when it reads invalid_client. It reads that where
// its document is wrong, not where its host has a bad moment, and a stranger
// reads nothing else, whatever the host does (H16).
func TestTroubleAtTheHost_AS23_AS60_H16(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, tc := range map[string]struct {
		serve  http.HandlerFunc
		passes bool
	}{
		"hangs up":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
		"hangs up midway": {hangUpMidway, true},
		"broken":          {status(http.StatusInternalServerError), true},
		"busy":            {status(http.StatusTooManyRequests), true},
		"gone":            {status(http.StatusNotFound), false},
		"not JSON":        {status(http.StatusOK), false},
		"moved":           {status(http.StatusFound), false},
	} {
		t.Run(name, func(t *testing.T) {
			ts, h := newDocumentServer(t)
			id := h.Publish("/c", goodDocument)
			v := request("client_id", id, "redirect_uri", "http://localhost:53211/callback")
			code := ts.approved(v, alice).Get("code")
			issued := ts.redeem(id, ts.approved(v, alice).Get("code"), "redirect_uri", "-")
			ts.want(issued, http.StatusOK, "")
			other := ts.signedIn()
			h.Handle("/c", tc.serve)

			refresh := func(token string) reply { return ts.askAs(TokenPath, id, "refresh_token", token) }
			for what, ask := range map[string]func() reply{
				"refresh":       func() reply { return refresh(issued.Refresh) },
				"code":          func() reply { return ts.redeem(id, code, "redirect_uri", "-") },
				"revocation":    func() reply { return ts.askAs(revokePath, id, "token", issued.Refresh) },
				"access token":  func() reply { return ts.askAs(revokePath, id, "token", issued.Access) },
				"introspection": func() reply { return ts.askAs(introspectPath, id, "token", issued.Access) },
			} {
				ts.restart()
				got := ask()
				switch {
				case !tc.passes:
					ts.want(got, http.StatusUnauthorized, "invalid_client")
				case got.status != http.StatusServiceUnavailable || got.Error != "temporarily_unavailable" || got.header.Get("Retry-After") == "":
					t.Errorf("%s: %d %s", what, got.status, got.body)
				}
			}
			refresh(issued.Refresh)
			ts.want(refresh(issued.Refresh), http.StatusServiceUnavailable, "temporarily_unavailable") // nobody asked the host

			for range 4 {
				ts.want(refresh(other.Refresh), http.StatusUnauthorized, "invalid_client")
				ts.want(refresh(tokens.RefreshPrefix+"x"), http.StatusUnauthorized, "invalid_client")
				ts.want(refresh("-"), http.StatusUnauthorized, "invalid_client")
				ts.want(ts.askAs(revokePath, id, "token", "x"), http.StatusUnauthorized, "invalid_client")
				ts.restart()
			}

			h.Publish("/c", goodDocument)
			ts.clock.Advance(time.Minute)
			ts.want(ts.askAs(TokenPath, id, "refresh_token", issued.Refresh), http.StatusOK, "")
		})
	}
	t.Run("wrong document", func(t *testing.T) {
		ts, h := newDocumentServer(t)
		id := h.Publish("/c", goodDocument)
		issued := ts.redeem(id, ts.approved(request("client_id", id, "redirect_uri", "http://localhost:1/callback"), alice).Get("code"), "redirect_uri", "-")
		h.Publish("/c", strings.ReplaceAll(goodDocument, "$ID", "https://other.example/c"))
		ts.restart()
		ts.want(ts.askAs(TokenPath, id, "refresh_token", issued.Refresh), http.StatusUnauthorized, "invalid_client")
	})
}

func hangUpMidway(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte("{"))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// Whoever publishes a good document once, and then none, is a stranger still:
// what they are told is counted, and no operator reads of it.
func TestStrangersDocumentIsGone_H16(t *testing.T) {
	for name, trouble := range map[string]http.HandlerFunc{
		"gone":   http.NotFound,
		"broken": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
	} {
		t.Run(name, func(t *testing.T) {
			ts, h := newDocumentServer(t)
			ts.stopLimits()
			v := request("client_id", h.Publish("/c", goodDocument), "redirect_uri", "http://localhost:1/callback")
			ts.begin(v)
			h.Handle("/c", trouble)
			ts.clock.Advance(24*time.Hour + time.Second)
			for range rejectedRequestsPerMinute {
				ts.refusedRequest(ts.authorizeRaw(v.Encode()), http.StatusBadRequest, "invalid_client")
			}
			ts.refusedRequest(ts.authorizeRaw(v.Encode()), http.StatusTooManyRequests, "temporarily_unavailable")
			if n := ts.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 0 {
				t.Errorf("%d errors in the log", n)
			}
		})
	}
}

// A person in the middle of signing in can go on when the host is back.
func TestTroubleDuringFlow_AS23(t *testing.T) {
	ts, h := newDocumentServer(t)
	id := h.Publish("/c", goodDocument)
	b := ts.begin(request("client_id", id, "redirect_uri", "http://localhost:1/callback"))
	h.Handle("/c", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	ts.restart()
	if _, err := ts.as.Flows.Open(b.get(), b.flowID); err == nil || errors.Is(err, flows.ErrInvalid) || oauth.AsError(err).Status != http.StatusServiceUnavailable {
		t.Errorf("while the host is broken: %v", err)
	}
	h.Publish("/c", goodDocument)
	ts.open(b)
}

// What strangers used up is not missing to a client that was here before, not
// even after a restart.
func TestOwnTokensOutlastFlood_H11(t *testing.T) {
	ts, h := newDocumentServer(t)
	id := h.Publish("/c", goodDocument)
	issued := ts.redeem(id, ts.approved(request("client_id", id, "redirect_uri", "http://localhost:1/callback"), alice).Get("code"), "redirect_uri", "-")
	ts.restart()
	ts.stopLimits()
	for i := range 3 * fetchesPerHost {
		_, _ = ts.lookupFrom(fmt.Sprintf("10.%d.%d.1", i/250, i%250), fmt.Sprint(h.URL, "/x", i))
	}
	_, err := ts.lookupFrom("198.51.100.1", id)
	refusedBecause(t, err, "invalid_client", "too many fetches from this host")
	ts.want(ts.askAs(TokenPath, id, "refresh_token", issued.Refresh), http.StatusOK, "")
}
