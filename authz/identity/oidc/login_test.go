package oidc

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestLogin_J01_J02(t *testing.T) {
	s := newRP(t, func(o *Options) { o.Email = VerifiedEmail })
	person := s.mustLogin()
	want := storage.Identity{
		Kind: "oidc:idp", Subject: "oidc:idp:jane", Name: "jane@example.com", Proof: s.proof,
		Claims: &storage.Claims{Email: "jane@example.com", Name: "Jane Doe", Groups: []string{"staff"}},
	}
	if !reflect.DeepEqual(person.Identity, want) || person.Session != "session-of-jane" {
		t.Errorf("got %+v %+v, session %q\nwant %+v", person.Identity, person.Claims, person.Session, want)
	}
	if !strings.Contains(string(person.Secret), "rt-") {
		t.Errorf("the secret is %q, want the refresh token", person.Secret)
	}
	if len(s.proof) != 16 || !(identity.Methods{s.method}).Valid(person.Identity) {
		t.Errorf("the identity with proof %q is not valid", person.Proof)
	}
	asked := s.idp.Logins()[0]
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "gateway", "redirect_uri": callbackURL, "state": "state", "code_challenge_method": "S256",
		"scope": "openid profile email groups offline_access",
	} {
		if asked.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, asked.Get(name), want)
		}
	}
	if len(asked.Get("code_challenge")) != 43 || len(asked.Get("nonce")) != 43 || asked.Has("prompt") || asked.Has("max_age") {
		t.Errorf("asked %v", asked)
	}
	redeemed := s.idp.Requests(oauthtest.TokenPath)[0]
	if user, password, _ := redeemed.BasicAuth(); user != "gateway" || password != "s3cret" {
		t.Errorf("authenticated as %q", user)
	}
	if verifier := redeemed.Form.Get("code_verifier"); oauth.CodeChallenge(verifier) != asked.Get("code_challenge") {
		t.Error("the verifier is not that of the challenge")
	}
	s.mustLogin()
	if again := s.idp.Logins()[1]; again.Get("nonce") == asked.Get("nonce") || again.Get("code_challenge") == asked.Get("code_challenge") {
		t.Error("two logins have the same nonce or verifier")
	}
	if n := len(s.idp.Requests(oauthtest.OpenIDConfigurationPath)) + len(s.idp.Requests(oauthtest.JWKSPath)); n != 2 {
		t.Errorf("metadata and keys were fetched %d times for two logins, want twice", n)
	}
}

func TestLoginOptions(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Options)
		asked  map[string]string
	}{
		"scopes":  {func(o *Options) { o.Scopes = []string{"email", "openid"} }, map[string]string{"scope": "openid email"}},
		"no mail": {func(*Options) {}, map[string]string{"scope": "openid profile groups offline_access"}},
		"domain":  {func(o *Options) { o.Allow = rules(t, "domain:example.com") }, map[string]string{"scope": "openid profile email groups offline_access"}},
		"others": {func(o *Options) {
			o.MaxAge, o.ACRValues, o.Prompt = time.Hour, []string{"mfa", "phr"}, "login"
			o.AuthorizeParams = map[string]string{"hd": "example.com"}
		}, map[string]string{"max_age": "3600", "acr_values": "mfa phr", "prompt": "login", "hd": "example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRP(t, tt.change)
			s.leave()
			for name, want := range tt.asked {
				if got := s.idp.Logins()[0].Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// Whoever wants another account is not given the one that is signed in at the
// provider, as far as the provider and the operator have no other words for it.
func TestOtherAccount(t *testing.T) {
	knows := func(prompts ...string) any { return prompts }
	for name, tt := range map[string]struct {
		other     bool
		prompt    string // the operator's
		supported any
		want      string
	}{
		"first login":             {false, "", nil, ""},
		"first, of the operator":  {false, "consent", nil, "consent"},
		"says nothing":            {true, "", nil, "select_account"},
		"says null":               {true, "", json.RawMessage("null"), "select_account"},
		"says something else":     {true, "", map[string]int{"login": 1}, "select_account"},
		"knows it":                {true, "", knows("none", "select_account"), "select_account"},
		"knows only login":        {true, "", knows("none", "login", "consent"), "login"},
		"knows neither":           {true, "", knows("none"), ""},
		"operator has login":      {true, "login", nil, "login"},
		"operator has it":         {true, "select_account", nil, "select_account"},
		"operator has consent":    {true, "consent", nil, "consent select_account"},
		"consent, knows neither":  {true, "consent", knows("consent"), "consent"},
		"consent, and only login": {true, "consent", knows("consent", "login"), "consent login"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRP(t, func(o *Options) { o.Prompt = tt.prompt })
			if tt.supported != nil {
				s.idp.Page(oauthtest.OpenIDConfigurationPath, oauthtest.Document(oauthtest.With(s.idp.Metadata(), "prompt_values_supported", tt.supported)))
			}
			redirect, err := s.method.Start(t.Context(), identity.Login{State: "state", CallbackURL: callbackURL, OtherAccount: tt.other})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(redirect.URL)
			if got := u.Query()["prompt"]; err != nil || strings.Join(got, "|") != tt.want {
				t.Errorf("prompt is %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// A provider that does not know prompt=select_account need not say so before it is
// asked. It is asked once.
func TestProviderWithoutChoiceOfAccount(t *testing.T) {
	s := newRP(t, nil)
	other := identity.Login{State: "state", CallbackURL: callbackURL, OtherAccount: true}
	start := func() identity.Redirect {
		t.Helper()
		redirect, err := s.method.Start(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		return redirect
	}
	answer := identity.Answer{
		Query:       url.Values{"error": {"invalid_request"}, "iss": {s.idp.URL}},
		CallbackURL: callbackURL, Secret: start().Secret,
	}
	_, err := s.method.Finish(t.Context(), answer)
	s.refusedAs(err, noChoice, "select_account")
	redirect := start()
	if u, err := url.Parse(redirect.URL); err != nil || u.Query().Get("prompt") != "login" {
		t.Errorf("asked again with %s, %v, want prompt=login", redirect.URL, err)
	}
	answer.Secret = redirect.Secret
	_, err = s.method.Finish(t.Context(), answer)
	s.refusedAs(err, refused, "invalid_request")
}

// Only a refusal that another account would escape makes the next login ask for it.
func TestWrongAccount(t *testing.T) {
	s := newRP(t, func(o *Options) { o.Allow = rules(t, "group:admins") })
	_, err := s.login()
	s.refusedAs(err, notAllowed, "no rule of allow")
	want := []string{"oidc-idp_declined", "oidc-idp_no_choice", "oidc-idp_not_allowed", "oidc-idp_groups_left_out", "oidc-idp_too_many_groups"}
	if !reflect.DeepEqual(s.method.WrongAccount, want) {
		t.Errorf("got %q, want %q", s.method.WrongAccount, want)
	}
}

func TestClientAuthentication(t *testing.T) {
	for method, want := range map[string]func(r oauthtest.Request) bool{
		"client_secret_post": func(r oauthtest.Request) bool {
			return r.Form.Get("client_secret") == "s3cret" && r.Form.Get("client_id") == "gateway"
		},
		"none": func(r oauthtest.Request) bool {
			return r.Form.Get("client_id") == "gateway" && !r.Form.Has("client_secret") && r.Header.Get("Authorization") == ""
		},
		"private_key_jwt": func(r oauthtest.Request) bool {
			return strings.Count(r.Form.Get("client_assertion"), ".") == 2 && r.Form.Get("client_assertion_type") == oauth.JWTBearerAssertion
		},
	} {
		s := newRP(t, func(o *Options) { o.AuthMethod = method })
		s.mustLogin()
		if r := s.idp.Requests(oauthtest.TokenPath)[0]; !want(r) {
			t.Errorf("%s: %v", method, r.Form)
		}
	}
}

// What the provider answers the browser with is looked at only if it is its own
// answer.
func TestAnswers_J05_J13(t *testing.T) {
	for name, tt := range map[string]struct {
		answer    func(url.Values)
		supported bool // the provider always names itself
		code, why string
	}{
		"iss of another provider": {func(a url.Values) { a.Set("iss", "https://evil.example") }, false, otherProvider, "of the issuer https://evil.example"},
		"iss without a slash":     {func(a url.Values) { a.Set("iss", a.Get("iss")+"/") }, false, otherProvider, ""},
		"empty iss":               {func(a url.Values) { a.Set("iss", "") }, false, otherProvider, ""},
		"no iss":                  {func(a url.Values) { a.Del("iss") }, true, otherProvider, ""},
		"error of another provider": {func(a url.Values) {
			a.Set("iss", "https://evil.example")
			a.Set("error", "access_denied")
		}, false, otherProvider, ""},
		"declined":        {func(a url.Values) { a.Set("error", "access_denied") }, true, declined, "access_denied"},
		"crafted error":   {func(a url.Values) { a.Set("error", "<b>"+oauthtest.Canary) }, false, refused, ""},
		"invalid scope":   {func(a url.Values) { a.Set("error", "invalid_scope") }, false, refused, "offline_access"},
		"prompt none":     {func(a url.Values) { a.Set("error", "login_required") }, false, refused, "option prompt"},
		"neither":         {func(a url.Values) { a.Del("code") }, false, refused, "neither a code nor an error"},
		"code of another": {func(a url.Values) { a.Set("code", "guess") }, false, refused, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRP(t, nil)
			s.idp.Answer = tt.answer
			s.idp.Page(oauthtest.OpenIDConfigurationPath, oauthtest.Document(
				oauthtest.With(s.idp.Metadata(), "authorization_response_iss_parameter_supported", tt.supported)))
			_, err := s.login()
			s.refusedAs(err, tt.code, tt.why)
			if n := len(s.idp.Requests(oauthtest.TokenPath)); n > 0 && name != "code of another" {
				t.Errorf("%d codes were redeemed", n)
			}
		})
	}
	s := newRP(t, nil)
	s.idp.Answer = func(a url.Values) { a.Del("iss") }
	s.mustLogin()
}

// A verifier that is not the login's is refused by the provider.
func TestVerifierOfAnotherLogin_J02(t *testing.T) {
	s := newRP(t, nil)
	a, b := s.leave(), s.leave()
	a.Secret, b.Secret = b.Secret, a.Secret
	for _, answer := range []identity.Answer{a, b} {
		_, err := s.method.Finish(t.Context(), answer)
		s.refusedAs(err, refused, "invalid_grant")
	}
}

// A provider that fails at any step lets nobody in, and the words tell whether
// trying again helps.
func TestProviderFails(t *testing.T) {
	for name, tt := range map[string]struct {
		path   string
		page   http.HandlerFunc
		code   string // empty: unavailable
		why    string
		before bool // the person does not even leave
	}{
		"down":                {oauthtest.OpenIDConfigurationPath, oauthtest.Answer(503, "text/html", oauthtest.Canary), "", "status 503", true},
		"hangs up":            {oauthtest.OpenIDConfigurationPath, oauthtest.HangUp, "", "no answer", true},
		"no document":         {oauthtest.OpenIDConfigurationPath, http.NotFound, "", "status 404", true},
		"redirects":           {oauthtest.OpenIDConfigurationPath, oauthtest.Redirect("/elsewhere"), "", "status 307", true},
		"no JSON":             {oauthtest.OpenIDConfigurationPath, oauthtest.Answer(200, "application/json", oauthtest.Canary), "", "not one JSON object", true},
		"50 MiB":              {oauthtest.OpenIDConfigurationPath, oauthtest.Answer(200, "application/json", strings.Repeat(" ", 50<<20)), "", "more than", true},
		"token endpoint":      {oauthtest.TokenPath, oauthtest.Answer(502, "text/html", oauthtest.Canary), "", "provider unable", false},
		"token no answer":     {oauthtest.TokenPath, oauthtest.HangUp, "", "sent, no usable answer", false},
		"wrong secret":        {oauthtest.TokenPath, oauthtest.Answer(401, "application/json", `{"error":"invalid_client"}`), refused, "check client_id, client_secret", false},
		"no ID token":         {oauthtest.TokenPath, oauthtest.Answer(200, "application/json", `{"access_token":"x","id_token":null}`), untrusted, "no ID token", false},
		"ID token of no text": {oauthtest.TokenPath, oauthtest.Answer(200, "application/json", `{"access_token":"x","id_token":{"a":1}}`), untrusted, "no ID token", false},
		"keys down":           {oauthtest.JWKSPath, oauthtest.Answer(500, "text/html", oauthtest.Canary), "", "status 500", false},
		"keys 50 MiB":         {oauthtest.JWKSPath, oauthtest.Answer(200, "application/json", strings.Repeat(" ", 50<<20)), "", "more than", false},
		"keys redirect":       {oauthtest.JWKSPath, oauthtest.Redirect("/elsewhere"), "", "status 307", false},
	} {
		t.Run(name+"_J11", func(t *testing.T) {
			s := newRP(t, func(o *Options) { o.Email = VerifiedEmail })
			good := s.idp.Page(tt.path, tt.page)
			s.idp.Page("/elsewhere", good)
			if tt.before {
				_, err := s.method.Start(t.Context(), identity.Login{State: "state", CallbackURL: callbackURL})
				s.unavailable(err, tt.why)
			} else {
				_, err := s.login()
				if tt.code == "" {
					s.unavailable(err, tt.why)
				} else {
					s.refusedAs(err, tt.code, tt.why)
				}
			}
			if hits := s.idp.Requests("/elsewhere"); len(hits) > 0 {
				t.Error("a redirect was followed")
			}
			s.idp.Page(tt.path, good)
			s.clock.Advance(2 * time.Second)
			s.mustLogin()
		})
	}
}

// Who may sign in is asked at every way in.
func TestAllow_J07_J08_J09(t *testing.T) {
	type object = oauthtest.Object
	jane := func(more object) object {
		claims := object{"name": "Jane", "email": "jane@corp.com", "email_verified": true, "groups": []string{"staff"}}
		for name, value := range more {
			claims[name] = value
		}
		return claims
	}
	for name, tt := range map[string]struct {
		allow  string
		claims object
		good   bool
	}{
		"everybody":          {"", object{}, true},
		"group":              {"group:staff", jane(nil), true},
		"other group":        {"group:admin", jane(nil), false},
		"group as text":      {"group:staff", jane(object{"groups": "staff"}), false},
		"empty group":        {"group:staff", jane(object{"groups": []string{""}}), false},
		"no groups":          {"group:staff", jane(object{"groups": nil}), false},
		"mixed list":         {"group:staff", jane(object{"groups": []any{1, "staff"}}), false},
		"null in the list":   {"group:staff", jane(object{"groups": []any{nil}}), false},
		"object of true":     {"group:staff", jane(object{"groups": object{"staff": true}}), false},
		"object of objects":  {"group:staff", jane(object{"groups": object{"staff": object{"1": "corp.com"}}}), true},
		"domain":             {"domain:corp.com", jane(nil), true},
		"domain in capitals": {"domain:corp.com", jane(object{"email": "Jane@CORP.com"}), true},
		"two at signs":       {"domain:corp.com", jane(object{"email": "a@evil.com@corp.com"}), false},
		"longer domain":      {"domain:corp.com", jane(object{"email": "a@corp.com.evil"}), false},
		"unicode dot":        {"domain:corp.com", jane(object{"email": "a@corp。com"}), false},
		"not verified":       {"domain:corp.com", jane(object{"email_verified": false}), false},
		"verified as text":   {"domain:corp.com", jane(object{"email_verified": "true"}), false},
		"verified as number": {"domain:corp.com", jane(object{"email_verified": 1}), false},
		"verified not said":  {"domain:corp.com", jane(object{"email_verified": nil}), false},
		"address":            {"email:jane@corp.com", jane(nil), true},
		"claim":              {"claim:department=sales", jane(object{"department": "sales"}), true},
		"nested claim":       {"claim:a.b=sales", jane(object{"a": object{"b": []string{"sales"}}}), true},
		"claim with dots":    {"claim:https://corp.com/role=admin", jane(object{"https://corp.com/role": "admin"}), true},
		"other claim":        {"claim:department=sales", jane(object{"department": "it"}), false},
		"any of them":        {"group:x domain:corp.com", jane(nil), true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRP(t, func(o *Options) { o.Allow = rules(t, tt.allow) })
			s.idp.People["jane"] = tt.claims
			s.idp.UserinfoOnly = strings.Contains(name, "o") // both ways
			person, err := s.login()
			if !tt.good {
				s.refusedAs(err, notAllowed, "no rule of allow chooses oidc:idp:jane")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !(identity.Methods{s.method}).Valid(person.Identity) {
				t.Error("who may sign in is not valid afterwards")
			}
			person.Claims = nil
			if tt.allow != "" && (identity.Methods{s.method}).Valid(person.Identity) {
				t.Error("valid without claims")
			}
		})
	}
}

// J07: the same address at another provider is another person, and a provider
// that is replaced under its name brings others.
func TestSameAddressElsewhere_J07(t *testing.T) {
	a, b := newRP(t, func(o *Options) { o.Email = VerifiedEmail }), newRP(t, func(o *Options) { o.Email, o.Name = VerifiedEmail, "other" })
	one, two := a.mustLogin(), b.mustLogin()
	if one.Subject == two.Subject || one.Claims.Email != two.Claims.Email {
		t.Errorf("%s and %s", one.Subject, two.Subject)
	}
	c := newRP(t, nil)
	if three := c.mustLogin(); three.Subject != one.Subject || three.Same(one.Identity) || (identity.Methods{c.method}).Valid(one.Identity) {
		t.Errorf("%+v is the same as %+v at another issuer", one.Identity, three.Identity)
	}
}

func TestEmail_J07(t *testing.T) {
	for _, tt := range []struct {
		policy   EmailPolicy
		verified any
		email    any
		want     string
	}{
		{"", true, "a@b.com", ""}, {VerifiedEmail, true, "a@b.com", "a@b.com"}, {VerifiedEmail, nil, "a@b.com", ""}, {VerifiedEmail, "true", "a@b.com", ""},
		{VerifiedEmail, 1, "a@b.com", ""}, {VerifiedEmail, []bool{true}, "a@b.com", ""}, {TrustedEmail, nil, "a@b.com", "a@b.com"}, {TrustedEmail, false, "a@b.com", ""},
		{TrustedEmail, "false", "a@b.com", ""}, {TrustedEmail, "true", "a@b.com", ""}, {VerifiedEmail, true, 7, ""}, {VerifiedEmail, true, "a\u200b@b.com", ""},
		{VerifiedEmail, true, "a@b@c.com", ""}, {VerifiedEmail, true, "a", ""},
	} {
		raw, err := json.Marshal(oauthtest.Object{"email": tt.email, "email_verified": tt.verified})
		if err != nil {
			t.Fatal(err)
		}
		var c claims
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		if tt.verified == nil {
			delete(c, "email_verified")
		}
		if got := c.email(tt.policy); got != tt.want {
			t.Errorf("%s of %s: %q, want %q", tt.policy, raw, got, tt.want)
		}
	}
}
