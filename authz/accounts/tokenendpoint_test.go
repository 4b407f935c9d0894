package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

func TestTokenReply_K17_K18(t *testing.T) {
	const js, form = "application/json; charset=utf-8", "application/x-www-form-urlencoded"
	for name, tt := range map[string]struct {
		status      int
		contentType string
		body        string
		failure     tokenFailure
		code        string
		scopes      string
		lifetime    time.Duration
	}{
		"plain":             {200, js, `{"access_token":"a","token_type":"Bearer","expires_in":60,"scope":"x y"}`, 0, "", "x y", time.Minute},
		"created":           {201, js, `{"access_token":"a","token_type":"Bearer"}`, 0, "", "", 0},
		"lower case type":   {200, js, `{"access_token":"a","token_type":"bearer"}`, 0, "", "", 0},
		"no type":           {200, js, `{"access_token":"a"}`, 0, "", "", 0},
		"mac":               {200, js, `{"access_token":"a","token_type":"mac"}`, noAnswer, "", "", 0},
		"DPoP":              {200, js, `{"access_token":"a","token_type":"DPoP"}`, noAnswer, "", "", 0},
		"type of a number":  {200, js, `{"access_token":"a","token_type":1}`, noAnswer, "", "", 0},
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
		"form, repeated":    {200, form, `access_token=a&access_token=b`, noAnswer, "", "", 0},
		"form, broken":      {200, form, `access_token=%zz`, noAnswer, "", "", 0},
		"form, error":       {200, form, `error=bad_verification_code&error_description=x`, refused, "invalid_grant", "", 0},
		"form, mac":         {200, form, `access_token=a&token_type=mac`, noAnswer, "", "", 0},
		"error with 200":    {200, js, `{"error":"bad_refresh_token"}`, refused, "invalid_grant", "", 0},
		"refused":           {400, js, `{"error":"invalid_grant"}`, refused, "invalid_grant", "", 0},
		"unknown code":      {400, js, `{"error":"canary"}`, refused, "", "", 0},
		"code of an object": {400, js, `{"error":{"code":"invalid_grant"}}`, refused, "", "", 0},
		"refused in HTML":   {403, "text/html", `<h1>`, refused, "", "", 0},
		"client":            {401, js, `{"error":"invalid_client"}`, refused, "invalid_client", "", 0},
		"token in a 400":    {400, js, `{"access_token":"a"}`, refused, "", "", 0},
		"redirect":          {302, "text/html", ``, refused, "", "", 0},
		"down":              {500, js, `{"error":"invalid_grant"}`, unable, "", "", 0},
		"busy":              {429, js, ``, unable, "", "", 0},
		"no token":          {200, js, `{"token_type":"Bearer"}`, noAnswer, "", "", 0},
		"HTML":              {200, "text/html", `<html>`, noAnswer, "", "", 0},
		"repeated":          {200, js, `{"access_token":"a","access_token":"b"}`, noAnswer, "", "", 0},
		"case variant":      {200, js, `{"access_token":"a","Access_Token":"b"}`, noAnswer, "", "", 0},
		"trailing":          {200, js, `{"access_token":"a"}{}`, noAnswer, "", "", 0},
		"line break":        {200, js, `{"access_token":"a\r\nX-Evil: 1"}`, noAnswer, "", "", 0},
		"not ASCII":         {200, js, `{"access_token":"ä"}`, noAnswer, "", "", 0},
		"refresh token":     {200, js, `{"access_token":"a","refresh_token":"r\n"}`, noAnswer, "", "", 0},
		"long token":        {200, js, `{"access_token":"` + strings.Repeat("a", maxTokenLen+1) + `"}`, noAnswer, "", "", 0},
		"huge":              {200, js, `{"access_token":"a","x":"` + strings.Repeat("a", maxProviderReply) + `"}`, noAnswer, "", "", 0},
		"huge form":         {200, form, `access_token=a&x=` + strings.Repeat("a", maxProviderReply), noAnswer, "", "", 0},
		"empty":             {200, js, ``, noAnswer, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readTokenReply(&reply{tt.status, tt.contentType, []byte(tt.body)})
			var failure *tokenError
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

func FuzzTokenReply(f *testing.F) {
	f.Add(200, "application/json", `{"access_token":"a","token_type":"Bearer","expires_in":60,"scope":"x y","refresh_token":"r"}`)
	f.Add(200, "text/plain", `access_token=a&scope=x%2Cy&token_type=bearer&expires_in=60`)
	f.Add(400, "application/json", `{"error":"invalid_grant"}`)
	f.Add(200, "application/json", `{"access_token":"a","expires_in":1e999,"scope":{"a":[]}}`)
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		r, err := readTokenReply(&reply{status, contentType, []byte(body)})
		if err != nil {
			var failure *tokenError
			if !errors.As(err, &failure) || failure.Failure < notSent || failure.Failure > unable {
				t.Fatalf("error %v", err)
			}
			if failure.Code != knownCode(failure.Code) {
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
		change  func(l *lab) (endpoint string)
		failure tokenFailure
	}
	at := func(page http.HandlerFunc) func(l *lab) string {
		return func(l *lab) string {
			l.provider.page("/token", page)
			return l.provider.URL + "/token"
		}
	}
	for name, tt := range map[string]test{
		"nobody there": {func(l *lab) string { l.provider.Close(); return l.provider.URL + "/token" }, notSent},
		"not allowed":  {func(*lab) string { return "http://169.254.169.254/token" }, notSent},
		"malformed":    {func(*lab) string { return "http://[::1/token" }, notSent},
		"no TLS there": {func(l *lab) string { return strings.Replace(l.provider.URL, "http:", "https:", 1) + "/token" }, notSent},
		"cut":          {at(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), noAnswer},
		"cut in the answer": {at(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"access_token":`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), noAnswer},
		"cut in a form": {at(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
			_, _ = io.WriteString(w, `access_token=half`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), noAnswer},
		"no HTTP": {at(func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(c, "canary canary\r\n\r\n")
			c.Close()
		}), noAnswer},
		"refused": {at(answer(400, "application/json", `{"error":"invalid_grant"}`)), refused},
		"unable":  {at(answer(502, "text/html", ``)), unable},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			endpoint := tt.change(l)
			_, err := l.requestToken(t.Context(), &l.cfg.Servers[0], link{TokenEndpoint: endpoint, AuthMethod: oauth.AuthNone}, &client{ID: "c"}, url.Values{})
			var failure *tokenError
			if !errors.As(err, &failure) || failure.Failure != tt.failure || strings.Contains(err.Error(), "canary") {
				t.Errorf("error %v, want failure %d", err, tt.failure)
			}
		})
	}
	t.Run("we hang up", func(t *testing.T) {
		l := newLab(t)
		ctx, cancel := context.WithCancel(t.Context())
		endpoint := at(func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })(l)
		_, err := l.requestToken(ctx, &l.cfg.Servers[0], link{TokenEndpoint: endpoint, AuthMethod: oauth.AuthNone}, &client{ID: "c"}, url.Values{})
		var failure *tokenError
		if !errors.As(err, &failure) || failure.Failure != noAnswer {
			t.Errorf("error %v", err)
		}
	})
	t.Run("we hung up before", func(t *testing.T) {
		l := newLab(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := l.requestToken(ctx, &l.cfg.Servers[0], link{TokenEndpoint: l.provider.URL + "/token", AuthMethod: oauth.AuthNone}, &client{ID: "c"}, url.Values{})
		var failure *tokenError
		if !errors.As(err, &failure) || failure.Failure != notSent || l.provider.hits() != 0 {
			t.Errorf("error %v", err)
		}
	})
}

// The assertion that one provider receives is of no use at another.
func TestAssertion_K16(t *testing.T) {
	l := newLab(t, func(cfg *Config, s *Server) {
		s.Quirks.AuthMethod = oauth.AuthPrivateKeyJWT
		cfg.Servers = append(cfg.Servers, Server{ID: "github", Mode: PerUserOAuth, Quirks: s.Quirks})
	})
	l.provider.page(asMetadataPath, document(with(l.metadata(), "client_id_metadata_document_supported", true)))
	l.connect()
	form := l.provider.requests("/token")[0].form
	if form.Has("client_secret") || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		t.Fatalf("form %v", form)
	}
	jws, err := jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	keysOf := func(i int) (set jose.JSONWebKeySet) {
		var m struct {
			JWKS jose.JSONWebKeySet `json:"jwks"`
		}
		if err := json.Unmarshal(l.ClientDocuments()[i].Body, &m); err != nil {
			t.Fatal(err)
		}
		return m.JWKS
	}
	ours := keysOf(0)
	key := ours.Key(jws.Signatures[0].Header.KeyID)
	if len(key) != 1 {
		t.Fatal("the key is not in our document")
	}
	payload, err := jws.Verify(key[0])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	id := testIssuer + "/oauth/client/notion"
	if claims["aud"] != l.provider.URL || claims["iss"] != id || claims["sub"] != id || claims["jti"] == "" ||
		claims["exp"] != float64(l.now.Add(time.Minute).Unix()) {
		t.Errorf("claims %v", claims)
	}
	if _, err := jws.Verify(keysOf(2).Keys[0]); !errors.Is(err, jose.ErrCryptoFailure) {
		t.Errorf("two servers share a key: %v, want %v", err, jose.ErrCryptoFailure)
	}
}
