package oidc

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// What changes at the provider is known when it is asked again, and whoever may
// not sign in there any more is ended.
func TestRenew_J10(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*rp)
		ended  bool
		why    string // not known
		groups []string
	}{
		"as before":   {func(*rp) {}, false, "", []string{"staff"}},
		"more groups": {func(s *rp) { s.idp.People["jane"]["groups"] = []string{"admin", "staff"} }, false, "", []string{"admin", "staff"}},
		"left":        {func(s *rp) { s.idp.People["jane"]["groups"] = []string{"alumni"} }, true, "", nil},
		"disabled":    {func(s *rp) { s.idp.Disable("jane") }, true, "", nil},
		"down":        {func(s *rp) { s.idp.Page(oauthtest.TokenPath, oauthtest.Answer(503, "text/html", "")) }, false, "provider unable", nil},
		"wrong secret": {func(s *rp) {
			s.idp.Page(oauthtest.TokenPath, oauthtest.Answer(401, "application/json", `{"error":"invalid_client"}`))
		}, false, "invalid_client", nil},
		"of somebody else": {func(s *rp) { s.idp.Claims = set("sub", "joe") }, false, "about somebody else", nil},
		"forged": {func(s *rp) {
			s.idp.Sign = func(claims object) string {
				return oauthtest.SignedJWT(jose.HS256, []byte(strings.Repeat("x", 32)), "JWT", claims)
			}
		}, false, "algorithm", nil},
		"no ID token": {func(s *rp) { s.idp.Tokens = set("id_token", nil) }, false, "", []string{"staff"}},
		"no ID token, left": {func(s *rp) {
			s.idp.Tokens = set("id_token", nil)
			s.idp.People["jane"]["groups"] = []string{"alumni"}
		}, true, "", nil},
		"neither": {func(s *rp) {
			s.idp.Tokens = set("id_token", nil)
			s.idp.Page(oauthtest.OpenIDConfigurationPath, oauthtest.Document(oauthtest.With(s.idp.Metadata(), "userinfo_endpoint", nil)))
			s.clock.Advance(2 * time.Hour)
		}, false, "", []string{"staff"}},
		"no new refresh token": {func(s *rp) { s.idp.Tokens = set("refresh_token", nil) }, false, "", []string{"staff"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRP(t, func(o *Options) { o.Allow = rules(t, "group:staff") })
			was := s.mustLogin()
			s.idp.Change(func() {})
			tt.change(s)
			now, err := s.method.Renew(t.Context(), was)
			if errors.Is(err, identity.ErrEnded) != tt.ended || (err != nil) != (tt.ended || tt.why != "") || tt.why != "" && !strings.Contains(err.Error(), tt.why) {
				t.Fatalf("got %v, want ended: %t, %q", err, tt.ended, tt.why)
			}
			if now.Subject != was.Subject || now.Session != was.Session || now.Secret == nil {
				t.Errorf("got %+v", now)
			}
			if err == nil && !reflect.DeepEqual(now.Claims.Groups, tt.groups) {
				t.Errorf("groups %v, want %v", now.Claims.Groups, tt.groups)
			}
			if err != nil && !reflect.DeepEqual(now.Identity, was.Identity) {
				t.Errorf("an error changed the person to %+v", now.Identity)
			}
			reached := len(s.idp.RefreshTokens()) > 0 && s.idp.RefreshTokens()[0] != "rt-3"
			if rotated := string(now.Secret) != string(was.Secret); rotated != (reached && name != "no new refresh token") {
				t.Errorf("secret %s, was %s; good are %v", now.Secret, was.Secret, s.idp.RefreshTokens())
			}
			if refresh := s.idp.Requests(oauthtest.TokenPath); len(refresh) != 2 || refresh[1].Form.Get("scope") != "" {
				t.Errorf("token requests %v", refresh)
			}
		})
	}
	s := newRP(t, nil)
	was := s.mustLogin()
	s.idp.Page(oauthtest.TokenPath, oauthtest.HangUp)
	_, err := s.method.Renew(t.Context(), was)
	if failure := (*client.TokenError)(nil); !errors.As(err, &failure) || !failure.MayHaveActed() {
		t.Errorf("got %v, want that it may have been done", err)
	}
}

// Without a refresh token there is nothing to renew with.
func TestNoRefreshToken(t *testing.T) {
	s := newRP(t, nil)
	s.idp.Tokens = set("refresh_token", nil)
	if p := s.mustLogin(); p.Secret != nil {
		t.Errorf("secret %q", p.Secret)
	}
}

// jsonNull is a null that stays in a token.
var jsonNull = json.RawMessage("null")

func TestLogoutToken_J10(t *testing.T) {
	const event = "http://schemas.openid.net/event/backchannel-logout"
	s := newRP(t, nil)
	s.mustLogin()
	now := s.clock.Now()
	for name, tt := range map[string]struct {
		token         string
		subject, sess string
		why           string
	}{
		"honest":            {s.idp.LogoutToken("jane", nil), "oidc:idp:jane", "session-of-jane", ""},
		"sub only":          {s.idp.LogoutToken("jane", object{"sid": nil}), "oidc:idp:jane", "", ""},
		"sid only":          {s.idp.LogoutToken("jane", object{"sub": nil}), "", "session-of-jane", ""},
		"neither":           {s.idp.LogoutToken("jane", object{"sub": nil, "sid": nil}), "", "", "neither sub nor sid"},
		"nonce":             {s.idp.LogoutToken("jane", object{"nonce": "x"}), "", "", "has a nonce"},
		"null nonce":        {s.idp.LogoutToken("jane", object{"nonce": jsonNull}), "", "", "has a nonce"},
		"no events":         {s.idp.LogoutToken("jane", object{"events": nil}), "", "", "back-channel logout"},
		"other event":       {s.idp.LogoutToken("jane", object{"events": object{"x": object{}}}), "", "", "back-channel logout"},
		"event of no type":  {s.idp.LogoutToken("jane", object{"events": object{event: true}}), "", "", "wrong type"},
		"null event":        {s.idp.LogoutToken("jane", object{"events": object{event: jsonNull}}), "", "", "back-channel logout"},
		"no jti":            {s.idp.LogoutToken("jane", object{"jti": nil}), "", "", "no jti"},
		"no exp":            {s.idp.LogoutToken("jane", object{"exp": nil}), "", "", "exp"},
		"no iat":            {s.idp.LogoutToken("jane", object{"iat": nil}), "", "", "iat"},
		"ended":             {s.idp.LogoutToken("jane", object{"exp": now.Unix() - 60}), "", "", "ended"},
		"of the future":     {s.idp.LogoutToken("jane", object{"iat": now.Unix() + 61}), "", "", "future"},
		"old":               {s.idp.LogoutToken("jane", object{"iat": now.Unix() - 661}), "", "", "too old"},
		"another client":    {s.idp.LogoutToken("jane", object{"aud": "sibling"}), "", "", "another client"},
		"another issuer":    {s.idp.LogoutToken("jane", object{"iss": "https://evil.example"}), "", "", "another issuer"},
		"an ID token":       {s.idp.Signed(s.idp.Issued("jane")), "", "", "back-channel logout"},
		"another typ":       {s.signed("at+jwt"), "", "", "typ"},
		"typ JWT":           {s.signed("JWT"), "oidc:idp:jane", "session-of-jane", ""},
		"unsigned":          {"eyJhbGciOiJub25lIn0.e30.", "", "", "algorithm"},
		"endless":           {strings.Repeat("x", maxLogoutTokenLen+1), "", "", "longer than"},
		"nothing":           {"", "", "", "no signed JWT"},
		"a sub for a crash": {s.idp.LogoutToken("jane", object{"sub": strings.Repeat("x", 300)}), "", "", "proper sub"},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			out, err := s.method.Logout(t.Context(), tt.token)
			if tt.why != "" {
				s.refusedAs(err, untrusted, tt.why)
				if out != (identity.Logout{}) {
					t.Errorf("got %+v", out)
				}
				return
			}
			if err != nil || out.Subject != tt.subject || out.Session != tt.sess || !strings.HasPrefix(out.ID, "jti-") || !out.ExpiresAt.After(now) {
				t.Errorf("got %+v, %v", out, err)
			}
		})
	}
	down := newRP(t, nil)
	down.idp.Page(oauthtest.JWKSPath, oauthtest.Answer(http.StatusBadGateway, "text/html", ""))
	_, err := down.method.Logout(t.Context(), down.idp.LogoutToken("jane", nil))
	down.unavailable(err, "keys of the provider")
}

// Who signed out is led to the provider by a link or, with an ID token, by a form:
// no token is ever in an address.
func TestSignOut(t *testing.T) {
	const account = "https://mcp.example.com/oauth/account"
	s := newRP(t, nil)
	if out, ok := s.method.SignOut(account, ""); ok {
		t.Errorf("before the provider is known: %+v", out)
	}
	s.idp.Page(oauthtest.OpenIDConfigurationPath, oauthtest.Document(oauthtest.With(s.idp.Metadata(), "end_session_endpoint", s.idp.URL+"/logout?tenant=1")))
	hint := s.mustLogin().SignOutHint
	if strings.Count(hint, ".") != 2 {
		t.Fatalf("the hint is %q, want the ID token", hint)
	}
	link := s.idp.URL + "/logout?client_id=gateway&post_logout_redirect_uri=https%3A%2F%2Fmcp.example.com%2Foauth%2Faccount&tenant=1"
	for _, tt := range []struct {
		hint string
		want identity.SignOut
	}{
		{"", identity.SignOut{URL: link}},
		{hint, identity.SignOut{URL: link, Form: s.idp.URL + "/logout?tenant=1", Fields: map[string]string{
			"id_token_hint": hint, "client_id": "gateway", "post_logout_redirect_uri": account,
		}}},
	} {
		if out, ok := s.method.SignOut(account, tt.hint); !ok || !reflect.DeepEqual(out, tt.want) {
			t.Errorf("got  %+v\nwant %+v", out, tt.want)
		}
	}
	none := newRP(t, nil)
	none.idp.Page(oauthtest.OpenIDConfigurationPath, oauthtest.Document(oauthtest.With(none.idp.Metadata(), "end_session_endpoint", nil)))
	none.mustLogin()
	if out, ok := none.method.SignOut(account, hint); ok {
		t.Errorf("at a provider that has none: %+v", out)
	}
}

// The last ID token is what is kept to sign out with, unless it is too long.
func TestSignOutHint(t *testing.T) {
	s := newRP(t, nil)
	person := s.mustLogin()
	first := person.SignOutHint
	s.clock.Advance(time.Minute)
	renewed, err := s.method.Renew(t.Context(), person)
	if err != nil || renewed.SignOutHint == first || strings.Count(renewed.SignOutHint, ".") != 2 {
		t.Errorf("renewed: %v, another ID token: %v", err, renewed.SignOutHint != first)
	}
	s.idp.Change(func() { s.idp.Claims = func(c oauthtest.Object) { c["more"] = strings.Repeat("x", maxSignOutHint) } })
	if person := s.mustLogin(); person.SignOutHint != "" || person.Secret == nil {
		t.Errorf("%d bytes are kept", len(person.SignOutHint))
	}
}

// No two subjects become one, and one can be in a header.
func TestSubject_J09(t *testing.T) {
	p := New(Options{Name: "idp", Issuer: "https://login.example.com"})
	seen := map[string]string{}
	for _, sub := range []string{"a", "A", "a:b", "a%3Ab", "a b", "a%20b", "ä", "%C3%A4", "a\n", "a\x00", "", "%", "a+b", "google-oauth2|1"} {
		got := p.subject(sub)
		if other, taken := seen[got]; taken || !strings.HasPrefix(got, "oidc:idp:") || strings.ContainsAny(got, " \n\x00ä") {
			t.Errorf("%q is %q, as is %q", sub, got, other)
		}
		seen[got] = sub
	}
	if a, b := New(Options{Name: "a", Issuer: "https://x.example"}), New(Options{Name: "a.b", Issuer: "https://x.example"}); a.subject("b:c") == b.subject("c") {
		t.Error("two names share a subject")
	}
}

func TestPublicProviders(t *testing.T) {
	for issuer, public := range map[string]bool{
		"https://accounts.google.com": true, "https://login.microsoftonline.com/" + consumers + "/v2.0": true, "https://gitlab.com": true,
		"https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0": false, "https://login.example.com": false,
		"https://accounts.google.com.evil.example": false,
	} {
		o := Options{Name: "x", Issuer: issuer}
		m := New(o).Method()
		o.Allow = rules(t, "group:x")
		if o.IsPublic() != public || m.ExcludesStrangers == public || !New(o).Method().ExcludesStrangers {
			t.Errorf("%s: public %t, excludes strangers %t", issuer, o.IsPublic(), m.ExcludesStrangers)
		}
	}
}

// Whatever a provider writes as claims, they are read without a crash, and nobody
// is chosen by what is not there.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"groups":["a"]}`, `{"groups":"a"}`, `{"groups":{"a":{}}}`, `{"email":"a@b.com","email_verified":true}`, `{"a":{"b":{"c":["d"]}}}`,
		`{"_claim_names":{"groups":"x"}}`, `{"hasgroups":true}`, `{"name":"\u202ex"}`, `{"":1}`,
	} {
		f.Add(seed, "groups")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		var c claims
		if json.Unmarshal([]byte(text), &c) != nil || c == nil {
			return
		}
		p := New(Options{Name: "x", Issuer: "https://x.example", GroupsClaim: path, Email: VerifiedEmail, Claims: []string{path}})
		kept, err := p.kept(c)
		if err != nil {
			return
		}
		for _, g := range kept.Groups {
			if g == "" {
				t.Error("an empty group")
			}
		}
		if kept.Email != "" && string(c["email_verified"]) != "true" {
			t.Errorf("the address %q is not verified: %s", kept.Email, text)
		}
		if id := p.identity("sub", c, kept); id.Name == "" || id.Subject != "oidc:x:sub" {
			t.Errorf("got %+v", id)
		}
		p.lacksNeeded(c)
		c.leavesOutGroups(path)
	})
}

// signed returns a logout token with another typ.
func (s *rp) signed(typ string) string {
	claims := s.idp.Issued("jane")
	claims["jti"], claims["events"] = "jti-x", object{"http://schemas.openid.net/event/backchannel-logout": object{}}
	return s.idp.SignedAs(typ, claims)
}
