package clients

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// parse reads metadata as registration does.
func parseMetadata(origin Origin, text string) (oauth.ClientMetadata, error) {
	var m oauth.ClientMetadata
	if err := strictjson.Unmarshal([]byte(text), 1<<20, &m); err != nil {
		return m, err
	}
	err := CompleteMetadata(&m, origin, testSchemes)
	return m, err
}

const publicKey = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`

func TestMetadataRefused(t *testing.T) {
	for id, texts := range map[string][]string{
		"G04 name that is not what it seems": {
			`"client_name":"Claude\u202eedualC"`, `"client_name":"Cl\u200baude"`, `"client_name":"Cl\u200daude"`, `"client_name":"\ufeffClaude"`,
			`"client_name":"a\nb"`, `"client_name":"a\u0000"`, `"client_name":"\u3164"`, `"client_name":"\u2066x"`, `"client_name":"\u00adx"`,
			`"client_name":"👩\u200d"`, `"client_name":"\u200d👩"`, `"client_name":"👩\u200da"`, `"client_name":"a\u200d👩"`, `"client_name":"a\ufe0f\u200d👩"`,
			`"client_name":"👩\u200d\u200d👩"`, `"client_name":"👩\u200b👩"`, `"client_name":"👩\u2060👩"`,
			`"client_name":"\u2800"`, `"client_name":"a\u2028b"`, fmt.Sprintf(`"client_name":%q`, strings.Repeat("é", 201)),
		},
		"G09 redirect URIs": {
			`"redirect_uris":[]`, `"redirect_uris":null`, `"redirect_uris":["http://c.example/cb","weird-scheme:/cb"]`, `"redirect_uris":["javascript:alert(1)"]`,
			`"redirect_uris":["` + strings.Repeat(`https://c.example/cb","`, 10) + `https://c.example/cb"]`,
			`"redirect_uris":["https://c.example/` + strings.Repeat("a", 2048) + `"]`, `"redirect_uris":[""]`,
		},
		"G10 inconsistent": {
			`"grant_types":["implicit"]`, `"grant_types":["authorization_code","implicit"]`, `"grant_types":["password","authorization_code"]`,
			`"grant_types":["refresh_token"]`, `"grant_types":["client_credentials"]`, `"response_types":["token"]`, `"response_types":["code id_token"]`,
			`"response_types":["id_token","token"]`, `"token_endpoint_auth_method":"client_secret_jwt"`, `"token_endpoint_auth_method":"tls_client_auth"`,
			`"token_endpoint_auth_method":"client_secret"`, `"token_endpoint_auth_method":"NONE"`, `"token_endpoint_auth_method":"private_key_jwt"`,
			`"application_type":"desktop"`,
		},
		"G11 web application at a person's own machine": {
			`"application_type":"web","redirect_uris":["http://localhost/cb"]`,
			`"application_type":"web","redirect_uris":["cursor://host/cb"]`,
		},
		"keys": {
			`"jwks":{"keys":[]}`, `"jwks":{"keys":[]},"token_endpoint_auth_method":"private_key_jwt"`, `"jwks":{},"token_endpoint_auth_method":"none"`,
			`"jwks":{"keys":null},"token_endpoint_auth_method":"none"`, `"jwks":{"keys":[],"Keys":[]},"token_endpoint_auth_method":"none"`,
			`"jwks":{"keys":[{"kty":"oct","k":"AAAA"}]},"token_endpoint_auth_method":"none"`, `"jwks":[]`, `"jwks":"x"`, `"jwks":{"keys":[{"kty":"oct","k":"AAAA"}]}`, `"jwks":{"keys":[` + publicKey + `,{"kty":"oct","k":"AAAA"}]}`,
			`"jwks":{"keys":[` + strings.Replace(publicKey, `"kty"`, `"d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","kty"`, 1) + `]}`,
			`"jwks":{"keys":[` + publicKey + `,` + strings.Replace(publicKey, `"kty"`, `"d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","kty"`, 1) + `]}`,
			`"jwks":{"keys":[` + strings.Replace(publicKey, `"kty"`, `"use":"enc","kty"`, 1) + `]}`,
			`"jwks":{"keys":[` + publicKey + `]},"jwks_uri":"https://c.example/jwks"`, `"jwks_uri":"http://c.example/jwks"`, `"jwks_uri":"file:///etc/passwd"`,
			`"jwks":{"keys":[` + strings.Repeat(publicKey+",", 20) + publicKey + `]}`,
		},
		"texts": {
			`"software_id":"a\u202e"`, `"contacts":["a\u0000"]`, `"contacts":["1","2","3","4","5","6","7","8","9","10","11"]`, `"scope":"a\"b"`, `"scope":"a\nb"`,
			`"scope":"é"`, `"client_name":["x"]`, `"scope":["mcp:use"]`, `"redirect_uris":"https://c.example/cb"`,
		},
	} {
		t.Run(id, func(t *testing.T) {
			for _, text := range texts {
				if !strings.Contains(text, `"redirect_uris"`) {
					text += `,"redirect_uris":["https://c.example/cb"]`
				}
				m, err := parseMetadata(Registered, "{"+text+"}")
				if err == nil {
					t.Errorf("accepted %s as %+v", text, m)
					continue
				}
				if e := (*oauth.Error)(nil); errors.As(err, &e) && e.Code != "invalid_client_metadata" && e.Code != "invalid_redirect_uri" {
					t.Errorf("%s: %v", text, err)
				} else if e == nil && !strings.Contains(err.Error(), "strictjson: ") {
					t.Errorf("%s: %v", text, err)
				}
			}
		})
	}
}

func TestMetadataAccepted(t *testing.T) {
	base := oauth.ClientMetadata{
		RedirectURIs: []string{"https://c.example/cb"}, TokenEndpointAuthMethod: oauth.AuthNone,
		GrantTypes: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}, ResponseTypes: []string{"code"},
	}
	for name, tc := range map[string]struct {
		origin Origin
		text   string
		want   func(*oauth.ClientMetadata)
	}{
		"least a document can say":           {MetadataDocument, ``, func(*oauth.ClientMetadata) {}},
		"a registering client gets a secret": {Registered, ``, func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod = oauth.AuthSecretEither }},
		"empty members are absent": {
			MetadataDocument, `"client_name":"","scope":"","client_uri":"","logo_uri":null,"contacts":null,"jwks":null,"application_type":"","grant_types":[],"response_types":[],"token_endpoint_auth_method":""`,
			func(*oauth.ClientMetadata) {},
		},
		"web and https":    {MetadataDocument, `"application_type":"web"`, func(m *oauth.ClientMetadata) { m.ApplicationType = "web" }},
		"native and https": {MetadataDocument, `"application_type":"native"`, func(m *oauth.ClientMetadata) { m.ApplicationType = "native" }},
		"name is trimmed":  {MetadataDocument, `"client_name":"  Claude – é 你 🙂\ufe0f "`, func(m *oauth.ClientMetadata) { m.ClientName = "Claude – é 你 🙂\ufe0f" }},
		"emoji that are joined": {MetadataDocument, `"client_name":"Team 👩\u200d💻 🏳️\u200d🌈 👩🏽\u200d🚀 👨\u200d👩\u200d👧"`, func(m *oauth.ClientMetadata) {
			m.ClientName = "Team 👩\u200d💻 🏳️\u200d🌈 👩🏽\u200d🚀 👨\u200d👩\u200d👧"
		}},
		"foreign response types":        {Registered, `"response_types":["code","token","code id_token"],"token_endpoint_auth_method":"none"`, func(*oauth.ClientMetadata) {}},
		"no keys, none needed":          {MetadataDocument, `"jwks": {"keys": [] }`, func(*oauth.ClientMetadata) {}},
		"no keys for one who registers": {Registered, `"token_endpoint_auth_method":"none","jwks":{"keys":[]}`, func(*oauth.ClientMetadata) {}},
		"foreign grant types":           {MetadataDocument, `"grant_types":["urn:x:device_code","refresh_token","authorization_code"]`, func(*oauth.ClientMetadata) {}},
		"no refresh":                    {MetadataDocument, `"grant_types":["authorization_code"]`, func(m *oauth.ClientMetadata) { m.GrantTypes = m.GrantTypes[:1] }},
		"G05 active content":            {MetadataDocument, `"client_uri":"javascript:alert(1)","logo_uri":"data:image/svg+xml,x","tos_uri":"http://c.example/","policy_uri":"https://c.example/\"><script>"`, func(*oauth.ClientMetadata) {}},
		"plain display URIs":            {MetadataDocument, `"client_uri":"https://c.example/"`, func(m *oauth.ClientMetadata) { m.ClientURI = "https://c.example/" }},
		"G05 markup in a name":          {MetadataDocument, `"client_name":"<script>alert(1)</script>"`, func(m *oauth.ClientMetadata) { m.ClientName = "<script>alert(1)</script>" }},
		"N05 placeholder":               {MetadataDocument, `"client_name":"{env.SECRET}"`, func(m *oauth.ClientMetadata) { m.ClientName = "{env.SECRET}" }},
		"G07 reserved members":          {MetadataDocument, `"client_id":"x","trusted":true,"skip_consent":true,"client_name#ja":"x"`, func(*oauth.ClientMetadata) {}},
		"G08 other case":                {MetadataDocument, `"CLIENT_NAME":"x","Scope":"admin"`, func(*oauth.ClientMetadata) {}},
		"keys": {MetadataDocument, `"token_endpoint_auth_method":"private_key_jwt","jwks": {"keys": [` + publicKey + `,{"kty":"unknown"}]}`, func(m *oauth.ClientMetadata) {
			m.TokenEndpointAuthMethod, m.JWKS = oauth.AuthPrivateKeyJWT, json.RawMessage(`{"keys":[`+publicKey+`,{"kty":"unknown"}]}`)
		}},
		"redirect URIs not for this server": {
			Registered, `"token_endpoint_auth_method":"none","redirect_uris":["weird-scheme:/cb","https://c.example/cb","javascript:alert(1)","http://c.example/","https://c.example/*"]`,
			func(*oauth.ClientMetadata) {},
		},
		"web and loopback": {
			Registered, `"token_endpoint_auth_method":"none","application_type":"web","redirect_uris":["http://127.0.0.1/cb","https://c.example/cb","cursor://host/cb"]`,
			func(m *oauth.ClientMetadata) { m.ApplicationType = "web" },
		},
		"redirect URIs for other servers": {MetadataDocument, `"redirect_uris":["weird-scheme:/cb","https://c.example/cb","javascript:alert(1)","http://c.example/"]`, func(*oauth.ClientMetadata) {}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.TrimPrefix(tc.text+`,"redirect_uris":["https://c.example/cb"]`, ",")
			if strings.Contains(tc.text, `"redirect_uris"`) {
				text = tc.text
			}
			want := base
			want.GrantTypes = slices.Clone(base.GrantTypes)
			tc.want(&want)
			got, err := parseMetadata(tc.origin, "{"+text+"}")
			if err != nil {
				t.Fatal(err)
			}
			got.Contacts = nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			again := got
			if err := CompleteMetadata(&again, tc.origin, testSchemes); err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("completing twice changes it: %+v, %v", again, err)
			}
		})
	}
}

func TestNoSecretInDocument_AS28(t *testing.T) {
	for _, method := range []string{oauth.AuthSecretBasic, oauth.AuthSecretPost} {
		_, err := parseMetadata(MetadataDocument, `{"redirect_uris":["https://c.example/cb"],"token_endpoint_auth_method":"`+method+`"}`)
		refusedBecause(t, err, "invalid_client_metadata", "token_endpoint_auth_method is not supported")
	}
}

func TestCompletePreregistered_AS36(t *testing.T) {
	secret := storage.HashOf("s")
	for name, tc := range map[string]struct {
		client Client
		method string // or "refused: " and why
	}{
		"public":                  {Client{ID: "app"}, oauth.AuthNone},
		"secret, sent either way": {Client{ID: "app", SecretHash: &secret}, oauth.AuthSecretEither},
		"secret, by header":       {Client{ID: "app", SecretHash: &secret, Metadata: oauth.ClientMetadata{TokenEndpointAuthMethod: oauth.AuthSecretBasic}}, oauth.AuthSecretBasic},
		"secret missing":          {Client{ID: "app", Metadata: oauth.ClientMetadata{TokenEndpointAuthMethod: oauth.AuthSecretPost}}, "refused: this token_endpoint_auth_method needs a client secret"},
		"secret unused":           {Client{ID: "app", SecretHash: &secret, Metadata: oauth.ClientMetadata{TokenEndpointAuthMethod: oauth.AuthNone}}, "refused: this token_endpoint_auth_method uses no client secret"},
		"no id":                   {Client{}, "refused: client_id must be visible characters"},
		"id with line break":      {Client{ID: "a\nb"}, "refused: client_id must be visible characters"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.client.Metadata.RedirectURIs = []string{"https://c.example/cb"}
			err := tc.client.Complete(nil)
			if why, refused := strings.CutPrefix(tc.method, "refused: "); refused != (err != nil) || refused && !strings.Contains(err.Error(), why) {
				t.Fatalf("got %v, want %s", err, tc.method)
			}
			if err == nil && (tc.client.Metadata.TokenEndpointAuthMethod != tc.method || tc.client.Origin != Preregistered || tc.client.Fingerprint == (storage.Hash{})) {
				t.Errorf("got %+v", tc.client)
			}
		})
	}
	introspecting := Client{ID: "resource-server", SecretHash: &secret, Introspect: true}
	if err := introspecting.Complete(nil); err != nil {
		t.Errorf("a client without redirect URIs: %v", err)
	}
}

func TestFingerprint_H12(t *testing.T) {
	base := oauth.ClientMetadata{RedirectURIs: []string{"https://a.example/", "https://b.example/"}, ClientName: "n", TokenEndpointAuthMethod: oauth.AuthNone}
	same := base
	same.RedirectURIs, same.LogoURI, same.Scope = []string{"https://b.example/", "https://a.example/"}, "https://a.example/logo", "x"
	if Fingerprint(&base) != Fingerprint(&same) {
		t.Error("an order or a logo changes the fingerprint")
	}
	for name, change := range map[string]func(*oauth.ClientMetadata){
		"redirect URI": func(m *oauth.ClientMetadata) { m.RedirectURIs = m.RedirectURIs[:1] },
		"name":         func(m *oauth.ClientMetadata) { m.ClientName = "m" },
		"keys":         func(m *oauth.ClientMetadata) { m.JWKS = json.RawMessage(`{}`) },
		"keys' place":  func(m *oauth.ClientMetadata) { m.JWKSURI = "https://a.example/" },
		"method":       func(m *oauth.ClientMetadata) { m.TokenEndpointAuthMethod = oauth.AuthPrivateKeyJWT },
	} {
		m := base
		if change(&m); Fingerprint(&m) == Fingerprint(&base) {
			t.Errorf("another %s does not change the fingerprint", name)
		}
	}
}

// Whatever is accepted holds nothing that a page, a redirect or a log would
// take for more than text.
func FuzzMetadata(f *testing.F) {
	f.Add(`{"redirect_uris":["https://c.example/cb"],"client_name":"n","logo_uri":"https://c.example/l"}`)
	f.Add(`{"redirect_uris":["http://localhost/cb"],"jwks":{"keys":[` + publicKey + `]},"scope":"a b","contacts":["x"]}`)
	f.Add(`{"redirect_uris":["cursor://x/y"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://c.example/jwks"}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, origin := range []Origin{Registered, MetadataDocument} {
			m, err := parseMetadata(origin, text)
			if err != nil {
				continue
			}
			if len(m.RedirectURIs) == 0 || !slices.Contains(m.GrantTypes, oauth.GrantAuthorizationCode) || !slices.Equal(m.ResponseTypes, []string{"code"}) {
				t.Fatalf("incomplete: %+v", m)
			}
			for _, uri := range m.RedirectURIs {
				if !oauth.RedirectURIRegistrable(uri, testSchemes) {
					t.Fatalf("redirect URI %q", uri)
				}
			}
			for _, uri := range []string{m.ClientURI, m.LogoURI, m.TOSURI, m.PolicyURI, m.JWKSURI} {
				if uri != "" && !strings.HasPrefix(uri, "https://") {
					t.Fatalf("URI %q", uri)
				}
			}
			if strings.ContainsAny(m.ClientName, "\n\r\x00\u200b\u202e") {
				t.Fatalf("name %q", m.ClientName)
			}
			if raw, err := json.Marshal(m); err != nil || len(raw) == 0 {
				t.Fatalf("cannot be stored: %v", err)
			}
		}
	})
}
