package caddymodule

import (
	"fmt"
	"strings"
	"testing"
)

// In JSON, whatever cannot work is refused with the path of its field.
func TestMistakesInJSON(t *testing.T) {
	t.Setenv("SHORT", "short-secret")
	const (
		base   = `"public_url":"http://127.0.0.1:8099","identities":[{"kind":"anonymous"}],`
		server = `{"id":"a","path":"/mcp","upstream":"http://127.0.0.1:3001/mcp"`
	)
	site := func(more string) string { return base + `"servers":[` + server + `}]` + more }
	second := func(more string) string {
		return base + `"servers":[` + server + `},{"id":"b","path":"/b","upstream":"http://127.0.0.1:3001/mcp",` + more + `}]`
	}
	for name, tt := range map[string]struct{ handler, want string }{
		"unknown field":             {site(`,"serverz":[]`), "serverz: there is no such field; did you mean servers?"},
		"unknown field of a server": {second(`"titel":"x"`), "servers[1].titel: there is no such field; did you mean title?"},
		"unknown field of auth":     {second(`"auth":{"mode":"per_user_oauth","clientid":"x"}`), "servers[1].auth.clientid: there is no such field; did you mean client_id?"},
		"text for a list":           {second(`"scopes":"a b"`), "servers[1].scopes: must be a list, not this text"},
		"list for a text":           {second(`"title":["x"]`), "servers[1].title: must be a text in quotes, not a list"},
		"number for a text":         {site(`,"virtual_keys":[{"name":"alice","key":12345}]`), "virtual_keys[0].key: must be a text in quotes, not this number"},
		"text for an object":        {site(`,"registration":"off"`), "registration: must be an object, not this text"},
		"text for a switch":         {site(`,"registration":{"dynamic":"off"}`), "registration.dynamic: must be true or false, not this text"},
		"text for a number":         {site(`,"registration":{"rate_limit":"10"}`), "registration.rate_limit: must be a whole number, not this text"},
		"half a number":             {site(`,"registration":{"rate_limit":1.5}`), "registration.rate_limit: must be a whole number, not this number"},
		"negative number":           {site(`,"registration":{"max_unused":-1}`), "registration.max_unused: must not be negative"},
		"text for a duration":       {site(`,"access_token_lifetime":"soon"`), `access_token_lifetime: must be a duration, such as "15m", "1h" or "30d", not this text`},
		"duration of zero":          {site(`,"access_token_lifetime":0`), "access_token_lifetime: must not be 0; remove it for the default"},
		"negative duration":         {site(`,"refresh_token_lifetime":-1`), "refresh_token_lifetime: must be at least 1s"},
		"text for a header map":     {second(`"headers":"Authorization"`), "servers[1].headers: must be an object, not this text"},
		"number for a header":       {second(`"headers":{"X-Team":1}`), "servers[1].headers.X-Team: must be a text in quotes, not this number"},
		"pasted header":             {second(`"auth":{"mode":"per_user_headers","headers":[{"name":"Host"}]}`), "servers[1].auth.headers[0]: the header Host belongs to the protocol; remove it"},
		"no public_url":             {`"identities":[{"kind":"anonymous"}],"servers":[` + server + `}]`, "public_url: missing; write the URL of the site, such as https://mcp.example.com"},
		"no identity":               {`"public_url":"http://127.0.0.1:8099","servers":[` + server + `}]`, "identities: nobody could sign in; add identity with one of: virtual_key, user_id, anonymous, caddy, dashboard, oidc, workload"},
		"identity misspelt":         {strings.Replace(site(""), "anonymous", "anonymus", 1), `identities[0].kind: unknown identity "anonymus"; did you mean anonymous?`},
		"identity twice":            {strings.Replace(site(""), `{"kind":"anonymous"}`, `{"kind":"anonymous"},{"kind":"anonymous"}`, 1), "identities[1].kind: anonymous is listed twice; remove one"},
		"no server":                 {strings.TrimSuffix(base, ","), "servers: there is nothing to protect; add `server <id> <path> <upstream URL>`"},
		"server twice":              {second(`"title":"x"`) + "", ""}, // which is fine
		"id twice":                  {strings.Replace(second(`"title":"x"`), `"id":"b"`, `"id":"a"`, 1), "servers[1].id: the id a is used twice; give each server its own"},
		"path twice":                {strings.Replace(second(`"title":"x"`), `"path":"/b"`, `"path":"/mcp"`, 1), "servers[1].path: the path /mcp is that of server a too; give each server its own"},
		"path of ours":              {strings.Replace(second(`"title":"x"`), `"path":"/b"`, `"path":"/oauth/b"`, 1), "servers[1].path: the path /oauth/b is needed by the authorization server; choose another, such as /mcp"},
		"mode misspelt":             {second(`"auth":{"mode":"per_user_oaut"}`), `servers[1].auth.mode: unknown mode "per_user_oaut"; did you mean per_user_oauth?`},
		"auth without mode":         {second(`"auth":{"client_id":"x"}`), `servers[1].auth.mode: unknown mode ""; use one of: oauth, per_user_oauth, per_user_headers`},
		"client_id not set":         {second(`"auth":{"mode":"oauth","client_id":"{env.NOT_SET}"}`), "servers[1].auth.client_id: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started"},
		"secret of no client":       {second(`"auth":{"mode":"oauth","client_secret":"{env.NOT_SET}"}`), "servers[1].auth.client_secret: belongs to a client_id; set client_id too, or remove it"},
		"OAuth for a pasted key":    {second(`"auth":{"mode":"per_user_headers","issuer":"https://p.example"}`), "servers[1].auth.issuer: is for auth oauth and per_user_oauth only; remove it"},
		"pasted key for OAuth":      {second(`"auth":{"mode":"oauth","verify_url":"https://p.example"}`), "servers[1].auth.verify_url: is for auth per_user_headers only; remove it"},
		"reserved parameter":        {second(`"auth":{"mode":"oauth","authorize_params":{"state":"x"}}`), `servers[1].auth.authorize_params.state: "state" belongs to the protocol; remove it`},
		"scope with a comma":        {second(`"scopes":["a,b"]`), `servers[1].scopes: "a,b" has a comma; write each scope by itself, with a space between`},
		"scope of no server":        {site(`,"scopes":[{"name":"mcp:usee","description":"x"}]`), "scopes[0].name: no server has the scope mcp:usee; did you mean mcp:use?"},
		"keys without virtual_key":  {site(`,"virtual_keys":[{"name":"alice","key":"{env.NOT_SET}"}]`), "virtual_keys[0].key: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started"},
		"key too short":             {site(`,"virtual_keys":[{"name":"alice","key":"{env.SHORT}"}]`), "virtual_keys[0].key: the key is too short; use at least 16 random characters"},
		"client without redirect":   {site(`,"clients":[{"id":"x"}]`), "clients[0].redirect_uris: it could not sign anybody in; add redirect_uri, or client_credentials for a program that acts for nobody"},
		"client with http":          {site(`,"clients":[{"id":"x","redirect_uris":["http://c.example/cb"]}]`), "clients[0].redirect_uris: A redirect URI must be https, http to a loopback host, or of an allowed private-use scheme, without fragment, user information, wildcard or dot segments"},
		"unknown proxy field":       {second(`"reverse_proxy":{"upstream":[]}`), `servers[1].reverse_proxy: json: unknown field "upstream"`},
		"origin":                    {site(`,"allowed_origins":["https://a.example/"]`), `allowed_origins[0]: "https://a.example/" is not a web origin; write scheme and host only, such as https://app.example.com`},
		"colour":                    {site(`,"branding":{"accent":"red"}`), `branding.accent: "red" is not a colour; write it as #rrggbb, in quotes`},
		"nothing off":               {site(`,"registration":{"dynamic":false,"metadata_documents":false}`), "registration: no client could sign in with dynamic and metadata_documents off; turn one on, or add a client with redirect_uri"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ours(loadableJSON(t, fmt.Appendf(nil, `{"admin":{"disabled":true},"apps":{"http":{"servers":{"s":{"listen":["127.0.0.1:8099"],"routes":[{"handle":[{"handler":"mcp_oauth",%s}]}]}}}}}`, tt.handler)))
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if len(got) > maxMessage || strings.Contains(got, "short-secret") {
				t.Errorf("%d bytes, or a secret: %s", len(got), got)
			}
		})
	}
}

// The global options are an app of their own.
func TestMistakesInGlobalOptions(t *testing.T) {
	const key = `"TohrfZNQZvHQrhtN7UPllwOdCMJS3rr5yHGBD9h4QVU="`
	for name, tt := range map[string]struct{ app, want string }{
		"unknown field":   {`{"store":{}}`, "store: there is no such field; did you mean storage?"},
		"unknown engine":  {`{"storage":{"engine":"bolt"}}`, `storage.engine: unknown storage "bolt"; did you mean bbolt?`},
		"path of memory":  {`{"storage":{"engine":"memory","path":"x"}}`, "storage.path: storage memory has no path; remove it, or use bbolt"},
		"path not set":    {`{"storage":{"path":"{env.NOT_SET}/x"}}`, "storage.path: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started"},
		"empty DSN":       {`{"storage":{"engine":"postgres"}}`, "storage.dsn: the DSN is empty; write one such as postgres://user:password@db.example.com/mcp_oauth?sslmode=verify-full"},
		"DSN not set":     {`{"storage":{"engine":"postgres","dsn":"{env.NOT_SET}"}}`, "storage.dsn: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started"},
		"no connections":  {`{"storage":{"engine":"postgres","dsn":"host=/run","max_connections":0}}`, "storage.max_connections: 0 is too few; use 1 or more, or remove it for 16"},
		"stale for ever":  {`{"storage":{"engine":"postgres","dsn":"host=/run","stale_for":"2h"}}`, "storage.stale_for: 2h0m0s is not from 0s to 1h0m0s; remove it for 30s"},
		"listens open":    {`{"storage":{"engine":"postgres","dsn":"host=/run","listen_dsn":"postgres://u@db.example.com/d"}}`, "storage.listen_dsn: the connection to db.example.com could be read or taken over on its way; write sslmode=verify-full, and sslrootcert=FILE if the certificate is not of a public authority"},
		"listens nowhere": {`{"storage":{"engine":"postgres","dsn":"host=/run","listen_dsn":"canary"}}`, "storage.listen_dsn: cannot read it; write it as dsn, with the host and port of the database itself"},
		"a path":          {`{"storage":{"engine":"postgres","path":"x"}}`, "storage.path: there is no such field; use one of: engine, dsn, schema, max_connections, listen_dsn, stale_for"},
		"second key":      {`{"encryption_keys":[` + key + `,"{env.NOT_SET}"]}`, "encryption_keys[1]: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started"},
		"key of the form": {`{"encryption_keys":["short"]}`, "encryption_keys[0]: must be 32 random bytes in base64 or hexadecimal; create one with `openssl rand -base64 32`"},
		"one for a list":  {`{"encryption_keys":` + key + `}`, "encryption_keys: must be a list, not this text"},
		"no object":       {`[]`, "must be an object, not a list"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ours(loadableJSON(t, fmt.Appendf(nil, `{"admin":{"disabled":true},"apps":{"mcp_oauth":%s}}`, tt.app)))
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
	for name, tt := range map[string]struct{ lines, want string }{
		"option of a site": {"public_url https://a.example", "public_url belongs in the mcp_oauth block of a site, at Caddyfile:4"},
		"misspelt":         {"encryption_keys {env.K}", `unknown option "encryption_keys"; did you mean encryption_key?, at Caddyfile:4`},
		"key missing":      {"encryption_key {$NOT_SET}", "encryption_key: <placeholder> is missing; write `encryption_key <placeholder>` (a {$NAME} that is not set leaves nothing), at Caddyfile:4"},
		"key not set":      {"encryption_key {env.NOT_SET}", "encryption_key: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started, at Caddyfile:4"},
		"key literal":      {"encryption_key canary", "encryption_key: must be 32 random bytes in base64 or hexadecimal; create one with `openssl rand -base64 32`, at Caddyfile:4"},
		"storage missing":  {"storage", "storage: an argument is missing; use one of: bbolt, postgres, memory, at Caddyfile:4"},
		"path in one line": {"storage bbolt /var/lib/x.db", "storage bbolt: write \"/var/lib/x.db\" and what follows on a line of its own in the block: `storage bbolt { … }`, at Caddyfile:4"},
		"no DSN":           {"storage postgres", "storage: storage postgres needs the DSN of the database; write storage postgres {env.DSN}, at Caddyfile:4"},
		"DSN twice":        {"storage postgres host=/run {\ndsn host=/run\n}", "storage: the DSN is on this line and in the block; remove one, at Caddyfile:4"},
		"DSN in clear":     {"storage postgres postgres://u:canary@db.example.com/d", "storage: the connection to db.example.com could be read or taken over on its way; write sslmode=verify-full, and sslrootcert=FILE if the certificate is not of a public authority, at Caddyfile:4"},
		"no DSN at all":    {"storage postgres \"postgres://u:can ary@db/d\"", "storage: cannot read the DSN; write one such as postgres://user:password@db.example.com/mcp_oauth?sslmode=verify-full, with special characters in the password as %XX, at Caddyfile:4"},
		"DSN in the block": {"storage postgres {\nschema x\ndsn postgres://u:canary@db.example.com/d\n}", "dsn: the connection to db.example.com could be read or taken over on its way; write sslmode=verify-full, and sslrootcert=FILE if the certificate is not of a public authority, at Caddyfile:6"},
		"path empty":       {"storage bbolt {\npath \"\"\n}", "path: <file> is empty; write it, or remove the line (a {$NAME} that is not set leaves nothing), at Caddyfile:5"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ours(loadable(t, "{\nadmin off\nmcp_oauth {\n"+tt.lines+"\n}\n}\n"))
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}
