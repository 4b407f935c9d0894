package client

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// jwtOf returns a JWT with the claims; its signature is not looked at.
func jwtOf(claims oauthtest.Object) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"none"}`)) + "." + part(payload) + "."
}

// What an account is called is found where the operator says, or where OpenID
// Connect has it, and nowhere else.
func TestAccountNames(t *testing.T) {
	tc := newTestClient(t)
	const us = "client-1"
	claims := func(more ...any) oauthtest.Object {
		o := oauthtest.Object{"iss": tc.provider.URL, "aud": us, "exp": tc.clock.Now().Add(time.Hour).Unix(), "sub": "1"}
		for i := 0; i < len(more); i += 2 {
			o[more[i].(string)] = more[i+1]
		}
		return o
	}
	carries := func(claims oauthtest.Object) oauthtest.Object { return oauthtest.Object{"id_token": jwtOf(claims)} }
	jane := oauthtest.Object{"sub": "1", "email": "jane@acme.com"}
	for name, test := range map[string]struct {
		query    AccountQuery
		response oauthtest.Object
		page     http.HandlerFunc // at URL or Userinfo
		want     string           // joined by |
		err      string
	}{
		"nothing":                 {},
		"e-mail":                  {response: carries(claims("email", "jane@acme.com", "name", "Jane")), want: "jane@acme.com"},
		"verified e-mail":         {response: carries(claims("email", "jane@acme.com", "email_verified", true)), want: "jane@acme.com"},
		"verified as text":        {response: carries(claims("email", "jane@acme.com", "email_verified", "true")), want: "jane@acme.com"},
		"unverified e-mail":       {response: carries(claims("email", "ceo@acme.com", "email_verified", false, "name", "Jane")), want: "Jane"},
		"user name":               {response: carries(claims("preferred_username", "jane", "name", "Jane")), want: "jane"},
		"several audiences":       {response: carries(claims("aud", []string{us, "other"}, "azp", us, "name", "Jane")), want: "Jane"},
		"another issuer":          {response: carries(claims("iss", "https://evil.example", "email", "x")), err: "of another issuer"},
		"another client":          {response: carries(claims("aud", "other", "email", "x")), err: "for another client"},
		"another party":           {response: carries(claims("aud", []string{us, "other"}, "azp", "other", "email", "x")), err: "for another client"},
		"one, another party":      {response: carries(claims("azp", "other", "email", "x")), err: "for another client"},
		"several, without party":  {response: carries(claims("aud", []string{us, "other"}, "email", "x")), err: "for another client"},
		"expired":                 {response: carries(claims("exp", tc.clock.Now().Unix(), "email", "x")), err: "expired"},
		"no exp":                  {response: carries(claims("exp", nil, "email", "x")), err: "expired"},
		"no JWT":                  {response: oauthtest.Object{"id_token": "x.y"}, err: "no JWT"},
		"no claims":               {response: oauthtest.Object{"id_token": "x.!.z"}, err: "no JWT"},
		"claims twice":            {response: oauthtest.Object{"id_token": "x." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"a","iss":"b"}`)) + ".z"}, err: "repeat"},
		"userinfo":                {query: AccountQuery{Userinfo: "/me"}, page: oauthtest.Document(jane), want: "jane@acme.com"},
		"userinfo after id_token": {query: AccountQuery{Userinfo: "/me"}, response: carries(claims()), page: oauthtest.Document(jane), want: "jane@acme.com"},
		"somebody else's":         {query: AccountQuery{Userinfo: "/me"}, response: carries(claims("sub", "2")), page: oauthtest.Document(jane), err: "somebody else"},
		"userinfo is not asked":   {query: AccountQuery{Userinfo: "/me"}, response: carries(claims("name", "Jane")), page: oauthtest.Answer(500, "", ""), want: "Jane"},
		"userinfo refuses":        {query: AccountQuery{Userinfo: "/me"}, page: oauthtest.Answer(403, "", ""), err: "status 403"},
		"userinfo is no JSON":     {query: AccountQuery{Userinfo: "/me"}, page: oauthtest.Answer(200, "text/html", "<html>"), err: "not JSON"},
		"userinfo leads away":     {query: AccountQuery{Userinfo: "/me"}, page: redirect("https://evil.example/"), err: "status 302"},
		"userinfo is endless":     {query: AccountQuery{Userinfo: "/me"}, page: oauthtest.Answer(200, "application/json", strings.Repeat(" ", 70<<10)), err: "more than"},
		"in the token response": {
			query:    AccountQuery{Members: []string{"owner.user.email", "workspace_name"}},
			response: oauthtest.Object{"owner": oauthtest.Object{"user": oauthtest.Object{"email": "jane@acme.com"}}, "workspace_name": "Acme"}, want: "jane@acme.com|Acme",
		},
		"numbers and lists":       {query: AccountQuery{Members: []string{"ids.1", "ids.x", "ids.9", "ids"}}, response: oauthtest.Object{"ids": []any{1, 12345678901234567}}, want: "12345678901234567"},
		"not there":               {query: AccountQuery{Members: []string{"a.b.c", "d"}}, response: oauthtest.Object{"a": "x", "d": nil}},
		"configured, no id_token": {query: AccountQuery{Members: []string{"login"}}, response: carries(claims("email", "jane@acme.com"))},
		"at a URL":                {query: AccountQuery{Members: []string{"login"}, URL: "/me"}, page: oauthtest.Document(oauthtest.Object{"login": "jane"}), want: "jane"},
		"a list at a URL":         {query: AccountQuery{Members: []string{"0.login"}, URL: "/me"}, page: oauthtest.Document([]any{oauthtest.Object{"login": "jane"}}), want: "jane"},
		"URL refuses":             {query: AccountQuery{Members: []string{"login"}, URL: "/me"}, page: oauthtest.Answer(401, "", ""), err: "status 401"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(tc.provider.Requests("/me"))
			if test.page != nil {
				tc.provider.Page("/me", test.page)
			}
			q := test.query
			q.Issuer, q.ClientID = tc.provider.URL, us
			for _, address := range []*string{&q.URL, &q.Userinfo} {
				if *address != "" {
					*address = tc.provider.URL + *address
				}
			}
			body, err := json.Marshal(test.response)
			if err != nil {
				t.Fatal(err)
			}
			account, err := tc.Account(t.Context(), q, readBody(t, body))
			got := account.Names
			if strings.Join(got, "|") != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %q, %v; want %q, %s", got, err, test.want, test.err)
			}
			if err != nil && (strings.Contains(err.Error(), "at-1") || strings.Contains(err.Error(), "jane")) {
				t.Errorf("the error tells too much: %v", err)
			}
			asked := tc.provider.Requests("/me")[before:]
			if want := test.page != nil && name != "userinfo is not asked"; (len(asked) == 1) != want {
				t.Errorf("asked %d times, want %v", len(asked), want)
			}
			if len(asked) > 0 && asked[0].Header.Get("Authorization") != "Bearer at-1" {
				t.Errorf("sent %q", asked[0].Header.Get("Authorization"))
			}
		})
	}
}

// readBody returns the tokens of a response with more in it.
func readBody(t *testing.T, more []byte) *Tokens {
	t.Helper()
	body := []byte(`{"access_token":"at-1"}`)
	if len(more) > len("{}") && string(more) != "null" {
		body = append([]byte(`{"access_token":"at-1",`), more[1:]...)
	}
	tokens, err := readTokens(&reply{status: 200, mediaType: "application/json", body: body}, Quirks{})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// A token goes to no address inside the network that a provider names.
func TestAccountNamesStayOutside(t *testing.T) {
	tc := newTestClient(t)
	tc.inProduction()
	for _, address := range []string{"http://10.0.0.1/me", "https://127.0.0.1:1/me", "file:///etc/passwd", "https://[::1]/me", "x"} {
		account, err := tc.Account(t.Context(), AccountQuery{Userinfo: address}, &Tokens{AccessToken: "at-1", body: []byte("{}")})
		if account.Names != nil || err == nil {
			t.Errorf("%s: got %v, %v; want an error", address, account, err)
		}
	}
}

func TestUserinfoOf(t *testing.T) {
	p := new(Provider)
	for _, test := range []struct {
		endpoint string
		scopes   []string
		want     string
	}{
		{"https://p.example/me", []string{"read", "openid"}, "https://p.example/me"},
		{"https://p.example/me", []string{"read"}, ""},
		{"", []string{"openid"}, ""},
		{"/me", []string{"openid"}, ""},
	} {
		p.UserinfoEndpoint = test.endpoint
		if got := p.UserinfoOf(slices.Clone(test.scopes)); got != test.want {
			t.Errorf("%q with %v: got %q, want %q", test.endpoint, test.scopes, got, test.want)
		}
	}
}
