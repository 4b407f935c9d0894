package config

import (
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/oidc"
)

// oidcSite returns a site at which people sign in at these providers.
func oidcSite(providers ...OIDC) *Site {
	s := &Site{PublicURL: "https://mcp.example.com", Servers: []*Server{{ID: "a", Path: "/a", Upstream: "http://127.0.0.1:1/mcp"}}}
	for i := range providers {
		s.Identities = append(s.Identities, Identity{Kind: oidc.Kind, OIDC: &providers[i]})
	}
	return s
}

// knownPlaceholders resolves the placeholders of tests.
func knownPlaceholders(value string) (string, bool, error) {
	return strings.NewReplacer("{env.SECRET}", "s3cret", "{env.ISSUER}", "https://login.example.com", "{env.SPACE}", "x ").Replace(value), true, nil
}

func TestResolveOIDC(t *testing.T) {
	o := OIDC{Issuer: "{env.ISSUER}", ClientID: "mcp", ClientSecret: "{env.SECRET}", Allow: []string{"domain:example.com"}}
	s, err := oidcSite(o, OIDC{Issuer: "https://login.example.com/realms/b", Name: "b", ClientID: "x"}).Resolve(knownPlaceholders)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.SignIn) != 2 || len(s.Providers) != 2 || s.SignIn[0].Kind != "oidc:login.example.com" || s.SignIn[0].Form != "oidc-login.example.com" || s.SignIn[1].Kind != "oidc:b" {
		t.Errorf("ways to sign in %+v", s.SignIn)
	}
	got := s.Providers[0].Options()
	if got.Issuer != "https://login.example.com" || got.ClientSecret != "s3cret" || got.Recheck != 15*time.Minute || got.GroupsClaim != "groups" || got.Email != oidc.VerifiedEmail || got.Title != "login.example.com" {
		t.Errorf("options %+v", got)
	}
	if s.SignIn[0].Basis != "domain:example.com" || s.SignIn[0].SharedProof == s.SignIn[1].SharedProof || s.SignIn[0].RenewEvery != 15*time.Minute {
		t.Errorf("method %+v", s.SignIn[0])
	}
	// Nothing of that is known when a Caddyfile is adapted.
	if _, err := oidcSite(o, o).Resolve(KeepPlaceholders); err != nil {
		t.Errorf("with placeholders: %v", err)
	}
}

func TestMistakesOfOIDC_J07_J08(t *testing.T) {
	good := OIDC{Issuer: "https://login.example.com", ClientID: "mcp"}
	with := func(change func(*OIDC)) *Site {
		o := good
		change(&o)
		return oidcSite(o)
	}
	issuer := func(text string) *Site { return with(func(o *OIDC) { o.Issuer = text }) }
	for name, tt := range map[string]struct {
		site *Site
		want string
	}{
		"nothing":            {&Site{PublicURL: "https://x.example", Servers: oidcSite().Servers, Identities: []Identity{{Kind: oidc.Kind}}}, "identities[0].oidc: missing; write the issuer"},
		"no issuer":          {issuer(""), "identities[0].oidc.issuer: missing"},
		"http":               {issuer("http://login.example.com"), "not an https URL"},
		"query":              {issuer("https://login.example.com?x=1"), "not an https URL"},
		"fragment":           {issuer("https://login.example.com#x"), "not an https URL"},
		"no URL":             {issuer("login.example.com"), "not an https URL"},
		"the document":       {issuer("https://login.example.com/.well-known/openid-configuration"), "leave out /.well-known/openid-configuration"},
		"this site":          {issuer("https://mcp.example.com/"), "this is this site itself"},
		"Entra, everybody":   {issuer("https://login.microsoftonline.com/common/v2.0"), "https://login.microsoftonline.com/<tenant id>/v2.0"},
		"Entra, firms":       {issuer("https://login.microsoftonline.com/organizations/v2.0"), "each tenant of Entra has its own issuer"},
		"Entra, version":     {issuer("https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555"), "write https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0"},
		"no client":          {with(func(o *OIDC) { o.ClientID = "" }), "oidc.client_id: missing"},
		"plain secret":       {with(func(o *OIDC) { o.ClientSecret = "canary" }), "oidc.client_secret: the secret must not be in the configuration"},
		"white space":        {with(func(o *OIDC) { o.ClientSecret = "{env.SPACE}" }), "ends with white space"},
		"secret and key":     {with(func(o *OIDC) { o.ClientSecret, o.AuthMethod = "{env.SECRET}", "private_key_jwt" }), "uses no client_secret"},
		"method":             {with(func(o *OIDC) { o.AuthMethod = "client_secret_jwt" }), "unknown method"},
		"no secret":          {with(func(o *OIDC) { o.AuthMethod = "client_secret_post" }), "needs a client_secret"},
		"name":               {with(func(o *OIDC) { o.Name = "a:b" }), "letters, digits, - and ."},
		"name of a path":     {with(func(o *OIDC) { o.Name = "../x" }), "letters, digits, - and ."},
		"title":              {with(func(o *OIDC) { o.Title = "a\u200b" }), "not a title"},
		"two of a name":      {oidcSite(good, OIDC{Issuer: "https://LOGIN.example.com/realms/b", ClientID: "x"}), "identities[1].oidc: there is another identity oidc with the name login.example.com"},
		"scope":              {with(func(o *OIDC) { o.Scopes = []string{"a,b"} }), "has a comma"},
		"parameter":          {with(func(o *OIDC) { o.AuthorizeParams = map[string]string{"Nonce": "x"} }), "Nonce is set by this site"},
		"state":              {with(func(o *OIDC) { o.AuthorizeParams = map[string]string{"state": "x"} }), "state is set by this site"},
		"rule":               {with(func(o *OIDC) { o.Allow = []string{"staff"} }), "write group:staff"},
		"e-mail":             {with(func(o *OIDC) { o.Email = "on" }), "use one of: verified, trusted"},
		"claim":              {with(func(o *OIDC) { o.Claims = []string{"a", "a"} }), "listed twice"},
		"prompt":             {with(func(o *OIDC) { o.Prompt = "none" }), "use one of: login, consent, select_account"},
		"recheck":            {with(func(o *OIDC) { o.Recheck = Duration(time.Second) }), "must be at least 1m"},
		"acr":                {with(func(o *OIDC) { o.ACRValues = []string{"a b"} }), "acr_values"},
		"options of another": {&Site{PublicURL: "https://x.example", Servers: oidcSite().Servers, Identities: []Identity{{Kind: "anonymous", OIDC: &good}}}, "oidc belongs to identity oidc; remove it"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.site.Resolve(knownPlaceholders)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	s := oidcSite(good)
	s.Servers[0].IdentityHeaders = map[string]string{"X-User": "user"}
	if _, err := s.Resolve(knownPlaceholders); err == nil || !strings.Contains(err.Error(), "with `identity oidc`, several people can have one name; use the value identity") {
		t.Errorf("names that several people can have: %v", err)
	}
}
