package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// goldenValues are tried as argument of every option.
var goldenValues = []string{
	"x", "/x", "/oauth/x", "https://a.example", "https://b.example/cb#f", "http://a.example/p", "{env.NOT_SET}", "{env.SECRET}", "{env.URL}", "{env.unclosed",
	"1h", "61m", "25h", "4000d", "0", "-1", "a,b", "on", "mcp:use", "mcp:connect:x", "none", "caddy", "user", "Authorization", "X-Team", "Mcp-Name", "#0a7d4f", "s",
	"sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", "{http.auth.user.id}", "com.example.app",
}

// goldenAround are the lines around an option, by the title of its block. What
// they set is not refused when the option is good.
var goldenAround = map[string][2]string{
	"the mcp_oauth block of a site":             {"identity user_id", "server s /s http://127.0.0.1:1/mcp"},
	"the block of identity caddy":               {"identity caddy {", "}\nserver s /s http://127.0.0.1:1/mcp"},
	"the block of identity dashboard":           {"insecure_allow_loopback\nidentity dashboard {", "authorize_url https://app.example/oauth/authorize\nissuer https://app.example\naudience mcp\njwks_uri https://app.example/jwks\n}\nserver s /s http://127.0.0.1:1/mcp"},
	"the block of identity oidc":                {"identity oidc https://login.example.com {\nclient_id mcp", "}\nserver s /s http://127.0.0.1:1/mcp"},
	"the block of identity workload":            {"insecure_allow_loopback\nidentity workload w https://issuer.example.com {\nallow claim:sub=batch", "}\nserver s /s http://127.0.0.1:1/mcp"},
	"the block of a server":                     {"identity anonymous\nserver s /s http://127.0.0.1:1/mcp {", "}"},
	"the block of tools":                        {"identity anonymous\nserver s /s http://127.0.0.1:1/mcp {\ntools {", "}\n}"},
	"the block of resources or prompts":         {"identity anonymous\nserver s /s http://127.0.0.1:1/mcp {\nresources {", "}\n}"},
	"the block of pin_tools":                    {"identity anonymous\nserver s /s http://127.0.0.1:1/mcp {\npin_tools hold {", "}\n}"},
	"the block of auth oauth or per_user_oauth": {"identity anonymous\nserver s /s http://127.0.0.1:1/mcp {\nauth oauth {\nclient_id c", "}\n}"},
	"the block of auth per_user_headers":        {"identity anonymous\nserver s /s http://127.0.0.1:1/mcp {\nauth per_user_headers {", "}\n}"},
	"the block of a client":                     {"identity anonymous\nserver s /s http://127.0.0.1:1/mcp\nclient c {", "}"},
	"the block of registration":                 {"identity anonymous\nserver s /s http://127.0.0.1:1/mcp\nregistration {", "}"},
	"the block of branding":                     {"identity anonymous\nserver s /s http://127.0.0.1:1/mcp\nbranding {", "}"},
	"the block of signing":                      {"identity anonymous\naccess_token_format jwt\nserver s /s http://127.0.0.1:1/mcp\nsigning {", "}"},
}

func goldenCaddyfile(t *testing.T, lines string) string {
	t.Helper()
	text := "{\nadmin off\n}\nhttp://127.0.0.1:8099 {\nmcp_oauth {\n" + lines + "\n}\n}\n"
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return "adapting: " + ours(err)
	}
	if err := loadableJSON(t, config); err != nil {
		return "loading: " + ours(err)
	}
	return string(siteOf(t, config))
}

// siteOf returns the handler in an adapted configuration.
func siteOf(t *testing.T, config []byte) json.RawMessage {
	t.Helper()
	var c struct {
		Apps struct {
			HTTP struct {
				Servers struct {
					Srv0 struct {
						Routes []struct {
							Handle []struct {
								Routes []struct {
									Handle []json.RawMessage `json:"handle"`
								} `json:"routes"`
							} `json:"handle"`
						} `json:"routes"`
					} `json:"srv0"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	return c.Apps.HTTP.Servers.Srv0.Routes[0].Handle[0].Routes[0].Handle[0]
}

func setGoldenEnv(t *testing.T) {
	t.Setenv("SECRET", "uX3-kf8aQ2m_Wz71")
	t.Setenv("OTHER_SECRET", "Lq9-vT2cR6x_Np40")
	t.Setenv("URL", "https://p.example/x")
}

// goldenSite is a configuration with every field.
const goldenSite = `{
"handler": "mcp_oauth", "public_url": "http://127.0.0.1:8099",
"identities": [{"kind": "virtual_key"}, {"kind": "caddy", "user": "{http.auth.user.id}", "recheck": "12h"}, {"kind": "anonymous"},
	{"kind": "dashboard", "dashboard": {"authorize_url": "https://app.example/oauth/authorize", "issuer": "https://app.example", "audience": "mcp", "jwks_uri": "https://app.example/jwks", "public_key": "", "secret": "", "claims": ["role"], "allow": ["group:staff"], "recheck": "7d", "consent": "here"}},
	{"kind": "oidc", "oidc": {"issuer": "https://login.example.com", "name": "company", "title": "Example", "client_id": "mcp", "client_secret": "{env.SECRET}", "auth_method": "client_secret_post",
		"scopes": ["profile", "groups"], "authorize_params": {"hd": "example.com"}, "allow": ["group:staff", "domain:example.com"], "groups_claim": "realm_access.roles", "email": "verified",
		"claims": ["department"], "max_age": "8h", "acr_values": ["mfa"], "prompt": "login", "userinfo": true, "recheck": "5m"}},
	{"kind": "workload", "workload": {"name": "build", "issuer": "https://token.actions.githubusercontent.com", "audience": "mcp", "jwks_uri": "https://keys.example/jwks", "jwks": "", "ca": "", "allow": ["claim:repository=octo-org/app", "claim:ref=refs/heads/main"],
		"name_claim": "repository", "max_age": "30m", "servers": ["a", "b"], "lifetime": "5m"}}],
"virtual_keys": [{"name": "alice", "key": "{env.SECRET}", "servers": ["a"]}, {"name": "build", "key": "{env.OTHER_SECRET}", "servers": ["b", "d"]}],
"clients": [
	{"id": "web", "name": "Web", "secret": "{env.SECRET}", "redirect_uris": ["https://c.example/cb"], "introspect": true},
	{"id": "keys", "redirect_uris": ["https://k.example/cb"], "jwks_uri": "https://k.example/jwks"},
	{"id": "set", "redirect_uris": ["https://k.example/cb"], "jwks": {"keys": [{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}},
	{"id": "batch", "secret": "{env.SECRET}", "client_credentials": true, "servers": ["a"], "lifetime": "5m"}
],
"servers": [
	{"id": "a", "title": "A", "resource_documentation": "https://a.example/docs", "resource_policy_uri": "https://a.example/policy", "resource_tos_uri": "https://a.example/tos",
	 "path": "/a", "upstream": "http://127.0.0.1:3001/mcp", "headers": {"Authorization": "Bearer {env.SECRET}"}, "scopes": ["a:read"], "optional_scopes": ["a:write"],
	 "identity_headers": {"X-User": "identity"}, "identity_jwt": "X-Identity", "pass_headers": ["X-Toolset", "X-Custom-*"], "metric_tools": ["search", "fetch"],
	 "tools": [{"deny": ["delete_*"]}, {"allow": ["*"], "annotations": ["read_only"], "for": ["group:staff"], "when": "tool.args.x == 1"}],
	 "resources": [{"deny": ["file:///secret*"], "annotations": [], "when": "resource.uri == ''"}, {"allow": ["*"], "for": ["key:build"]}],
	 "prompts": [{"deny": ["admin"], "annotations": [], "for": ["client:web"], "when": "prompt.args.x == 1"}, {"allow": ["greet"]}], "pin_tools": {"mode": "hold", "approvers": "person", "first_list": "held"}, "refusals": "explain",
	 "reverse_proxy": {"headers": {"request": {"set": {"X-Team": ["x"]}}}}},
	{"id": "b", "path": "/b", "upstream": "https://b.example/mcp", "tools": [{"scope": "b:write", "provider_scopes": ["write"], "of": ["create_*"]}], "resources": [{"scope": "b:write", "provider_scopes": ["write"], "of": ["create_*"]}], "prompts": [{"scope": "b:write", "provider_scopes": ["write"], "of": ["create_*"]}], "auth": {"mode": "per_user_oauth", "optional": true, "accounts": "several", "max_accounts": 4, "expect_domain": ["Example.com"], "scopes": ["x"], "client_id": "id", "client_secret": "{env.SECRET}",
	 "auth_method": "client_secret_post", "callback_path": "/callback/b", "authorization_endpoint": "https://p.example/a", "token_endpoint": "https://p.example/t", "revocation_endpoint": "https://p.example/r",
	 "issuer": "https://p.example", "resource": "https://r.example", "no_resource": true, "metadata_document": false, "no_refresh_rotation": true, "allow_missing_pkce": true, "user_token": true,
	 "authorize_params": {"prompt": "consent"}, "account_name": ["owner.email"], "account_url": "https://p.example/me", "scope_separator": ","}},
	{"id": "c", "path": "/c", "upstream": "https://c.example/mcp", "auth": {"mode": "per_user_headers", "headers": [{"name": "X-Key", "prefix": "Key ", "label": "Key"}], "verify_url": "https://c.example/me"}},
	{"id": "d", "path": "/d", "upstream": "https://d.example/mcp", "auth": {"mode": "oauth"}, "allow": ["group:engineering"]}
],
"scopes": [{"name": "a:read", "description": "Read"}],
"access_token_lifetime": "2h", "refresh_token_lifetime": "20d", "grant_lifetime": "12h", "absolute_grant_lifetime": "60d", "flow_lifetime": "10m", "code_lifetime": "1m", "refresh_reuse_grace": 0,
"access_token_format": "jwt", "access_token_claims": ["email"], "signing": {"algorithm": "ES256", "rotate": "30d"},
"service_documentation": "https://a.example/docs",
"registration": {"dynamic": true, "metadata_documents": true, "allow_hosts": [".example.com"], "deny_hosts": ["a.example"], "initial_access_token": "{env.SECRET}", "rate_limit": 5,
	"max_unused": 6, "max_unproved": 7, "unused_lifetime": "2h", "redirect_schemes": ["com.example.app"]},
"allowed_origins": ["https://app.example"], "branding": {"name": "N", "accent": "#0a7d4f", "logo": "testdata/logo.svg"}, "audit": "on", "insecure_allow_loopback": true
}`

// A field that goldenSite lacks would be judged by no test that goes through it.
func TestGoldenSiteHasEveryField(t *testing.T) {
	var site any
	if err := json.Unmarshal([]byte(goldenSite), &site); err != nil {
		t.Fatal(err)
	}
	for _, field := range unset("", reflect.TypeFor[config.Site](), []any{site}) {
		t.Errorf("goldenSite lacks %s; write it there, then go test ./caddymodule -run Judged -update", field)
	}
}

// unset returns the fields of a type that are in none of the values, which are
// JSON of that type.
func unset(path string, typ reflect.Type, values []any) []string {
	switch typ.Kind() {
	case reflect.Pointer:
		return unset(path, typ.Elem(), values)
	case reflect.Slice:
		var entries []any
		for _, value := range values {
			list, _ := value.([]any)
			entries = append(entries, list...)
		}
		return unset(path+"[]", typ.Elem(), entries)
	case reflect.Struct:
	default:
		return nil
	}
	var missing []string
	for _, f := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		var found []any
		for _, value := range values {
			if member, ok := value.(map[string]any)[name]; ok {
				found = append(found, member)
			}
		}
		field := strings.TrimPrefix(path+"."+name, ".")
		if len(found) == 0 {
			missing = append(missing, field)
			continue
		}
		missing = append(missing, unset(field, f.Type, found)...)
	}
	return missing
}

// goldenJSON are put in the place of every value.
var goldenJSON = []string{
	`null`, `0`, `-1`, `1.5`, `3600000000000`, `true`, `""`, `"x"`, `"1h"`, `"{env.NOT_SET}"`, `"{env.URL}"`, `"https://a.example"`, `"a b"`, `"Host"`, `"/d"`, `[]`, `["x"]`, `{}`, `{"x":"y"}`,
}

// places returns the ways to all values within a JSON value, in order. Proxies
// are Caddy's.
func places(value any, way []string) [][]string {
	var all [][]string
	add := func(name string, value any) {
		if name == "handler" {
			return
		}
		to := append(slices.Clip(way), name)
		all = append(all, to)
		if name != "reverse_proxy" && name != "jwks" {
			all = append(all, places(value, to)...)
		}
	}
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			add(name, value[name])
		}
	case []any:
		for i := range value {
			add(fmt.Sprint(i), value[i])
		}
	}
	return all
}

// change replaces a value, or removes it from its object.
func change(in any, way []string, to any, remove bool) {
	switch in := in.(type) {
	case map[string]any:
		switch {
		case len(way) > 1:
			change(in[way[0]], way[1:], to, remove)
		case remove:
			delete(in, way[0])
		default:
			in[way[0]] = to
		}
	case []any:
		i := int(way[0][0] - '0')
		if len(way) > 1 {
			change(in[i], way[1:], to, remove)
			return
		}
		in[i] = to
	}
}

func compareGoldenText(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	if len(gotLines) != len(wantLines) {
		t.Errorf("%s: got %d lines, want %d", file, len(gotLines), len(wantLines))
	}
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Errorf("%s:%d: %s\ngot\n%s\nwant\n%s", file, i+1, wantLines[max(i-1, 0)], gotLines[i], wantLines[i])
			return
		}
	}
}
