package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func TestTokenReply_K17_K18(t *testing.T) {
	const js, form = "application/json; charset=utf-8", "application/x-www-form-urlencoded"
	for name, tt := range map[string]struct {
		status      int
		contentType string
		body        string
		failure     TokenFailure
		code        string
		scopes      string
		lifetime    time.Duration
	}{
		"plain":             {200, js, `{"access_token":"a","token_type":"Bearer","expires_in":60,"scope":"x y"}`, 0, "", "x y", time.Minute},
		"created":           {201, js, `{"access_token":"a","token_type":"Bearer"}`, 0, "", "", 0},
		"lower case type":   {200, js, `{"access_token":"a","token_type":"bearer"}`, 0, "", "", 0},
		"no type":           {200, js, `{"access_token":"a"}`, 0, "", "", 0},
		"mac":               {200, js, `{"access_token":"a","token_type":"mac"}`, NoAnswer, "", "", 0},
		"DPoP":              {200, js, `{"access_token":"a","token_type":"DPoP"}`, NoAnswer, "", "", 0},
		"type of a number":  {200, js, `{"access_token":"a","token_type":1}`, NoAnswer, "", "", 0},
		"commas":            {200, js, `{"access_token":"a","scope":"x,y, z"}`, 0, "", "x y z", 0},
		"list":              {200, js, `{"access_token":"a","scope":["x","y"]}`, 0, "", "x y", 0},
		"empty scope":       {200, js, `{"access_token":"a","scope":""}`, 0, "", "", 0},
		"text lifetime":     {200, js, `{"access_token":"a","expires_in":"60"}`, 0, "", "", time.Minute},
		"broken lifetime":   {200, js, `{"access_token":"a","expires_in":"soon"}`, 0, "", "", 0},
		"negative lifetime": {200, js, `{"access_token":"a","expires_in":-1}`, 0, "", "", 0},
		"fraction":          {200, js, `{"access_token":"a","expires_in":59.9}`, 0, "", "", 59 * time.Second},
		"endless lifetime":  {200, js, `{"access_token":"a","expires_in":1e300}`, 0, "", "", maxTokenLifetime},
		"no number":         {200, js, `{"access_token":"a","expires_in":"NaN"}`, 0, "", "", 0},
		"form":              {200, form, `access_token=a&scope=x%2Cy&token_type=bearer&expires_in=60`, 0, "", "x y", time.Minute},
		"form as text":      {200, "text/plain", `access_token=a&expires_in=60`, 0, "", "", time.Minute},
		"JSON as text":      {200, "text/plain", `{"access_token":"a"}`, 0, "", "", 0},
		"form, repeated":    {200, form, `access_token=a&access_token=b`, NoAnswer, "", "", 0},
		"form, broken":      {200, form, `access_token=%zz`, NoAnswer, "", "", 0},
		"form, error":       {200, form, `error=bad_verification_code&error_description=x`, Refused, "invalid_grant", "", 0},
		"form, mac":         {200, form, `access_token=a&token_type=mac`, NoAnswer, "", "", 0},
		"error with 200":    {200, js, `{"error":"bad_refresh_token"}`, Refused, "invalid_grant", "", 0},
		"refused":           {400, js, `{"error":"invalid_grant"}`, Refused, "invalid_grant", "", 0},
		"unknown code":      {400, js, `{"error":"canary"}`, Refused, "", "", 0},
		"code of an object": {400, js, `{"error":{"code":"invalid_grant"}}`, Refused, "", "", 0},
		"refused in HTML":   {403, "text/html", `<h1>`, Refused, "", "", 0},
		"client":            {401, js, `{"error":"invalid_client"}`, Refused, "invalid_client", "", 0},
		"token in a 400":    {400, js, `{"access_token":"a"}`, Refused, "", "", 0},
		"redirect":          {302, "text/html", ``, Refused, "", "", 0},
		"down":              {500, js, `{"error":"invalid_grant"}`, Unable, "", "", 0},
		"busy":              {429, js, ``, Unable, "", "", 0},
		"no token":          {200, js, `{"token_type":"Bearer"}`, NoAnswer, "", "", 0},
		"HTML":              {200, "text/html", `<html>`, NoAnswer, "", "", 0},
		"repeated":          {200, js, `{"access_token":"a","access_token":"b"}`, NoAnswer, "", "", 0},
		"case variant":      {200, js, `{"access_token":"a","Access_Token":"b"}`, NoAnswer, "", "", 0},
		"trailing":          {200, js, `{"access_token":"a"}{}`, NoAnswer, "", "", 0},
		"line break":        {200, js, `{"access_token":"a\r\nX-Evil: 1"}`, NoAnswer, "", "", 0},
		"not ASCII":         {200, js, `{"access_token":"ä"}`, NoAnswer, "", "", 0},
		"refresh token":     {200, js, `{"access_token":"a","refresh_token":"r\n"}`, NoAnswer, "", "", 0},
		"long token":        {200, js, `{"access_token":"` + strings.Repeat("a", MaxTokenLen+1) + `"}`, NoAnswer, "", "", 0},
		"huge":              {200, js, `{"access_token":"a","x":"` + strings.Repeat("a", maxProviderReply) + `"}`, NoAnswer, "", "", 0},
		"huge form":         {200, form, `access_token=a&x=` + strings.Repeat("a", maxProviderReply), NoAnswer, "", "", 0},
		"empty":             {200, js, ``, NoAnswer, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readTokens(&reply{tt.status, tt.contentType, []byte(tt.body)}, Quirks{})
			var failure *TokenError
			if errors.As(err, &failure) {
				if failure.Failure != tt.failure || failure.Code != tt.code || strings.Contains(err.Error(), "canary") {
					t.Errorf("failure %+v, want %d %q", failure, tt.failure, tt.code)
				}
				return
			}
			if err != nil || tt.failure != 0 {
				t.Fatalf("error %v, want failure %d", err, tt.failure)
			}
			if got.AccessToken != "a" || strings.Join(got.Scopes, " ") != tt.scopes || got.ExpiresIn != tt.lifetime {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// Slack's answers, as its documentation has them: to a code with the token of a bot
// beside that of the person or without one, and to a refresh token.
func TestUserToken_K17(t *testing.T) {
	const (
		ofUser   = `"authed_user":{"id":"U1","scope":"chat:write,search:read","access_token":"xoxp-1","token_type":"user","refresh_token":"xoxe-1","expires_in":43200}`
		ofBoth   = `{"ok":true,"access_token":"xoxb-1","token_type":"bot","scope":"commands","bot_user_id":"B1",` + ofUser + `,"team":{"id":"T1","name":"Acme"}}`
		alone    = `{"ok":true,"app_id":"A1",` + ofUser + `}`
		refresh  = `{"ok":true,"access_token":"xoxp-1","token_type":"user","scope":"chat:write,search:read","refresh_token":"xoxe-1","expires_in":43200}`
		bot      = `{"ok":true,"access_token":"xoxb-1","token_type":"bot","authed_user":{"id":"U1"}}`
		bearer   = `{"ok":true,"access_token":"xoxp-1","token_type":"Bearer","scope":"chat:write,search:read","refresh_token":"xoxe-1","expires_in":43200,"authed_user":{"id":"U1"}}`
		repeated = `{"ok":true,"authed_user":{"access_token":"xoxp-1","access_token":"xoxp-2","token_type":"user"}}`
		broken   = `{"ok":true,"authed_user":{"access_token":"xoxp-1\n","token_type":"user"}}`
	)
	for name, tt := range map[string]struct {
		body          string
		with, without string // the access token, or what an operator reads
	}{
		"beside a bot's":    {ofBoth, "xoxp-1", "set user_token"},
		"alone":             {alone, "xoxp-1", "set user_token"},
		"refreshed":         {refresh, "xoxp-1", "set user_token"},
		"a bot's only":      {bot, "not a bearer token", "not a bearer token"},
		"as a bearer token": {bearer, "xoxp-1", "xoxp-1"},
		"repeated":          {repeated, "no usable answer", "no usable answer"},
		"with a line break": {broken, "no usable token", "set user_token"},
	} {
		t.Run(name, func(t *testing.T) {
			for user, want := range map[bool]string{true: tt.with, false: tt.without} {
				got, err := readTokens(&reply{200, "application/json", []byte(tt.body)}, Quirks{UserToken: user})
				if err != nil {
					var failure *TokenError
					errors.As(err, &failure)
					if problem := (Profile{}).ExchangeProblem(failure, Known{}); !strings.Contains(problem.Error(), want) {
						t.Errorf("user token %t: got %q, want %q", user, problem, want)
					}
					continue
				}
				if got.AccessToken != want || got.RefreshToken != "xoxe-1" || got.ExpiresIn != 12*time.Hour || strings.Join(got.Scopes, " ") != "chat:write search:read" {
					t.Errorf("user token %t: got %+v, want %q", user, got, want)
				}
			}
		})
	}
}

func FuzzTokenReply(f *testing.F) {
	f.Add(200, "application/json", `{"access_token":"a","token_type":"Bearer","expires_in":60,"scope":"x y","refresh_token":"r"}`, false)
	f.Add(200, "text/plain", `access_token=a&scope=x%2Cy&token_type=bearer&expires_in=60`, false)
	f.Add(400, "application/json", `{"error":"invalid_grant"}`, false)
	f.Add(200, "application/json", `{"access_token":"a","expires_in":1e999,"scope":{"a":[]}}`, false)
	f.Add(200, "application/json", `{"ok":true,"authed_user":{"access_token":"a","token_type":"user","scope":"x,y"}}`, true)
	f.Fuzz(func(t *testing.T, status int, contentType, body string, user bool) {
		r, err := readTokens(&reply{status, contentType, []byte(body)}, Quirks{UserToken: user})
		if err != nil {
			var failure *TokenError
			if !errors.As(err, &failure) || failure.Failure < NotSent || failure.Failure > Unable {
				t.Fatalf("error %v", err)
			}
			if failure.Code != KnownCode(failure.Code) {
				t.Fatalf("code %q is the provider's", failure.Code)
			}
			return
		}
		// Tokens that come with any success are the ones that count from now on.
		if status/100 != 2 || r.AccessToken == "" || !visible(r.AccessToken) || !visible(r.RefreshToken) ||
			r.ExpiresIn < 0 || r.ExpiresIn > maxTokenLifetime {
			t.Fatalf("status %d gives %+v", status, r)
		}
		for _, s := range r.Scopes {
			if s == "" || !visible(s) {
				t.Fatalf("scopes %q", r.Scopes)
			}
		}
	})
}

// Whether the provider can have seen a request decides whether it may be sent
// again.
func TestHowFar_K11(t *testing.T) {
	type test struct {
		change  func(tc *testClient) (endpoint string)
		failure TokenFailure
	}
	at := func(page http.HandlerFunc) func(tc *testClient) string {
		return func(tc *testClient) string {
			tc.provider.Page("/token", page)
			return tc.provider.URL + "/token"
		}
	}
	for name, tt := range map[string]test{
		"nobody there": {func(tc *testClient) string { tc.provider.Close(); return tc.provider.URL + "/token" }, NotSent},
		"not allowed":  {func(*testClient) string { return "http://169.254.169.254/token" }, NotSent},
		"malformed":    {func(*testClient) string { return "http://[::1/token" }, NotSent},
		"no TLS there": {func(tc *testClient) string { return strings.Replace(tc.provider.URL, "http:", "https:", 1) + "/token" }, NotSent},
		"cut":          {at(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), NoAnswer},
		"cut in the answer": {at(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"access_token":`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), NoAnswer},
		"cut in a form": {at(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
			_, _ = io.WriteString(w, `access_token=half`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), NoAnswer},
		"no HTTP": {at(func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(c, "canary canary\r\n\r\n")
			c.Close()
		}), NoAnswer},
		"refused": {at(oauthtest.Answer(400, "application/json", `{"error":"invalid_grant"}`)), Refused},
		"unable":  {at(oauthtest.Answer(502, "text/html", ``)), Unable},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			endpoint := tt.change(tc)
			_, err := tc.requestToken(t.Context(), Endpoint{URL: endpoint}, Credentials{ID: "c", AuthMethod: oauth.AuthNone}, url.Values{})
			var failure *TokenError
			if !errors.As(err, &failure) || failure.Failure != tt.failure || strings.Contains(err.Error(), "canary") {
				t.Errorf("error %v, want failure %d", err, tt.failure)
			}
		})
	}
	t.Run("we hang up", func(t *testing.T) {
		tc := newTestClient(t)
		ctx, cancel := context.WithCancel(t.Context())
		endpoint := at(func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })(tc)
		_, err := tc.requestToken(ctx, Endpoint{URL: endpoint}, Credentials{ID: "c", AuthMethod: oauth.AuthNone}, url.Values{})
		var failure *TokenError
		if !errors.As(err, &failure) || failure.Failure != NoAnswer {
			t.Errorf("error %v", err)
		}
	})
	t.Run("we hung up before", func(t *testing.T) {
		tc := newTestClient(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := tc.requestToken(ctx, Endpoint{URL: tc.provider.URL + "/token"}, Credentials{ID: "c", AuthMethod: oauth.AuthNone}, url.Values{})
		var failure *TokenError
		if !errors.As(err, &failure) || failure.Failure != NotSent || tc.provider.Hits() != 0 {
			t.Errorf("error %v", err)
		}
	})
}
