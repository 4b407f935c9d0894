package caddymodule

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// maxMessage is how long what we say about a mistake may be.
const maxMessage = 220

// wrapping is what Caddy puts in front of our errors.
var wrapping = regexp.MustCompile(`^.*(http\.handlers\.mcp_oauth: mcp_oauth: |http\.handlers\.mcp_oauth: |tokens for 'mcp_oauth': |(provision|module config:) mcp_oauth: )`)

// ours returns the part of an error that is ours.
func ours(err error) string {
	if err == nil {
		return ""
	}
	return wrapping.ReplaceAllString(err.Error(), "")
}

// loadable returns what is wrong with a Caddyfile when it is adapted and
// provisioned in this process, as `caddy validate` does.
func loadable(t *testing.T, text string) error {
	t.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	return loadableJSON(t, config)
}

func loadableJSON(t *testing.T, config []byte) error {
	t.Helper()
	var cfg caddy.Config
	if err := json.Unmarshal(config, &cfg); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&cfg)
}

const (
	anybody  = "identity anonymous\n"
	oneOfOur = "server a /mcp http://127.0.0.1:3001/mcp"
)

// Whatever cannot work, or would be ignored, is refused with its line and what
// to do. The block starts on line 7.
func TestMistakesInCaddyfile(t *testing.T) {
	for _, name := range []string{"EMPTY", "SHORT", "BLANK"} {
		t.Setenv(name, map[string]string{"SHORT": "short-secret", "BLANK": " id"}[name])
	}
	const auth = anybody + oneOfOur + " {\nauth per_user_oauth {\n"
	for name, tt := range map[string]struct{ lines, want string }{
		// Who signs in.
		"identity misspelt":              {"identity virtual-key\n" + oneOfOur, `identity: unknown value "virtual-key"; did you mean virtual_key?, at Caddyfile:7`},
		"identity missing":               {"identity\n" + oneOfOur, "identity: an argument is missing; use one of: virtual_key, user_id, anonymous, caddy, dashboard, oidc, workload, at Caddyfile:7"},
		"identity in one line":           {"identity anonymous user_id\n" + oneOfOur, "identity: remove \"user_id\", or quote an argument that has spaces; write `identity virtual_key|user_id|anonymous`, at Caddyfile:7"},
		"two names that look alike":      {alice + "virtual_key Alice {env.B}\n" + oneOfOur, "virtual_key Alice: Alice looks like the name alice; give each key one that nobody takes for another, at Caddyfile:10"},
		"two names in other code points": {alice + "virtual_key \uff41lice {env.B}\n" + oneOfOur, "virtual_key \uff41lice: \uff41lice looks like the name alice; give each key one that nobody takes for another, at Caddyfile:10"},
		"invisible name":                 {"identity virtual_key\nvirtual_key \"al\u200bice\" {env.A}\n" + oneOfOur, "virtual_key al\u200bice: \"al\\u200bice\" is not a name; use 1 to 255 visible characters, without space at the ends, at Caddyfile:8"},
		"name with a space at the end":   {"identity virtual_key\nvirtual_key \"alice \" {env.A}\n" + oneOfOur, "virtual_key alice : \"alice \" is not a name; use 1 to 255 visible characters, without space at the ends, at Caddyfile:8"},
		"key missing":                    {"identity virtual_key\nvirtual_key alice {$NOT_SET}\n" + oneOfOur, "virtual_key: <sha256:hash|placeholder> is missing; write `virtual_key <name> <sha256:hash|placeholder> [<server id>...]` (a {$NAME} that is not set leaves nothing), at Caddyfile:8"},
		"key empty":                      {"identity virtual_key\nvirtual_key alice \"{$NOT_SET}\"\n" + oneOfOur, "virtual_key: <sha256:hash|placeholder> is empty; write it, or remove the line (a {$NAME} that is not set leaves nothing), at Caddyfile:8"},
		"key not set":                    {"identity virtual_key\nvirtual_key alice {env.NOT_SET}\n" + oneOfOur, "virtual_key alice: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started, at Caddyfile:8"},
		"key variable empty":             {"identity virtual_key\nvirtual_key alice {env.EMPTY}\n" + oneOfOur, "virtual_key alice: {env.EMPTY}: the environment variable is empty; set EMPTY where Caddy is started, at Caddyfile:8"},
		"key of no file":                 {"identity virtual_key\nvirtual_key alice {file./no/such}\n" + oneOfOur, "virtual_key alice: {file./no/such}: there is no such file; write its absolute path, and see that it exists before Caddy starts, at Caddyfile:8"},
		"key of a relative file":         {"identity virtual_key\nvirtual_key alice {file.alice-key}\n" + oneOfOur, "virtual_key alice: {file.alice-key}: in a Caddyfile this is a part of the request's URL; write the absolute path of the file, {file./path/alice-key}, at Caddyfile:8"},
		"key of a request":               {"identity virtual_key\nvirtual_key alice {header.X-Key}\n" + oneOfOur, "virtual_key alice: {http.request.header.X-Key} is not known when the configuration is loaded; use {env.NAME}, or {file./path}, at Caddyfile:8"},
		"key like a shell's":             {"identity virtual_key\nvirtual_key alice ${ALICE}\n" + oneOfOur, "virtual_key alice: {ALICE} is not known when the configuration is loaded; use {env.ALICE}, or {file./path}, at Caddyfile:8"},
		"key not closed":                 {"identity virtual_key\nvirtual_key alice {env.ALICE_KEY_LONG\n" + oneOfOur, "virtual_key alice: a placeholder is not closed; write it as {env.NAME}, at Caddyfile:8"},
		"key too short":                  {"identity virtual_key\nvirtual_key alice {env.SHORT}\n" + oneOfOur, "virtual_key alice: the key is too short; use at least 16 random characters, at Caddyfile:8"},
		"key of a server twice":          {"identity virtual_key\nvirtual_key alice {env.A} a a\n" + oneOfOur, "virtual_key alice: server a is listed twice; remove one, at Caddyfile:8"},
		"key of an unknown server":       {"identity virtual_key\nvirtual_key alice {env.A} notoin\nserver notion /mcp http://127.0.0.1:1/mcp", `virtual_key alice: there is no server "notoin"; did you mean notion?, at Caddyfile:8`},
		// Clients.
		"no client at all":        {anybody + oneOfOur + "\nregistration {\ndynamic off\nmetadata_documents off\n}", "registration: no client could sign in with dynamic and metadata_documents off; turn one on, or add a client with redirect_uri, at Caddyfile:9"},
		"client that looks only":  {anybody + oneOfOur + "\nregistration {\ndynamic off\nmetadata_documents off\n}\nclient m {\nsecret {env.M}\nintrospect\n}", "registration: no client could sign in with dynamic and metadata_documents off; turn one on, or add a client with redirect_uri, at Caddyfile:9"},
		"client secret too short": {anybody + oneOfOur + "\nclient x {\nredirect_uri https://c.example/cb\nsecret {env.SHORT}\n}", "secret: the secret is too short; use at least 16 random characters, at Caddyfile:11"},
		"client secret literal":   {anybody + oneOfOur + "\nclient x {\nredirect_uri https://c.example/cb\nsecret canary-0123456789abcdef\n}", "secret: the secret must not be in the configuration; write sha256:<hash>, or a placeholder such as {env.NAME} ({$NAME} puts the secret itself there), at Caddyfile:11"},
		"client key without use":  {anybody + oneOfOur + "\nclient x {\nredirect_uri https://c.example/cb\njwks `{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"RS256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}`\n}", "jwks: jwks must be a set of public keys, at least one of them usable, at Caddyfile:11"},
		"token too short":         {anybody + oneOfOur + "\nregistration {\ninitial_access_token {env.SHORT}\n}", "initial_access_token: the token is too short; use at least 16 random characters, at Caddyfile:10"},
		"required misspelt":       {anybody + oneOfOur + "\nregistration {\ninitial_access_token requird\n}", "initial_access_token: an unknown word; did you mean required?, at Caddyfile:10"},
		"host allowed and denied": {anybody + oneOfOur + "\nregistration {\nallow_hosts a.example\ndeny_hosts a.example\n}", "deny_hosts: a.example is in allow_hosts, too; remove one, at Caddyfile:11"},
		"scheme that never works": {anybody + oneOfOur + "\nregistration {\nredirect_schemes intent\n}", `redirect_schemes: "intent": a redirect must never go to this scheme, at Caddyfile:10`},
		// Scopes and lifetimes.
		"scope of no server":         {anybody + oneOfOur + " {\nscopes wiki:read\n}\nscope wiki:raed \"Read\"", "scope wiki:raed: no server has the scope wiki:raed; did you mean wiki:read?, at Caddyfile:11"},
		"scopes with a comma":        {anybody + oneOfOur + " {\nscopes a,b\n}", `scopes: "a,b" has a comma; write each scope by itself, with a space between, at Caddyfile:9`},
		"optional with a comma":      {anybody + oneOfOur + " {\noptional_scopes a, b\n}", `optional_scopes: "a," has a comma; write each scope by itself, with a space between, at Caddyfile:9`},
		"provider's with a comma":    {auth + "scopes repo,user\n}\n}", "scopes: \"repo,user\" has a comma; write each scope by itself, with a space between; where the provider wants commas, add `scope_separator ,`, at Caddyfile:10"},
		"account without member":     {auth + "account_url https://p.example/me\n}\n}", "account_url: goes with account_name; set the member of its answer that has the name, such as `account_name login`, at Caddyfile:10"},
		"account by an odd path":     {auth + "account_name owner..email\n}\n}", `account_name: "owner..email" is no member of an answer; write it as name, or owner.user.name for one inside of others, at Caddyfile:10`},
		"account over http":          {auth + "account_name login\naccount_url http://p.example/me\n}\n}", `account_url: "http://p.example/me" is not an https URL; http is for loopback only, at Caddyfile:11`},
		"refresh shorter":            {anybody + oneOfOur + "\naccess_token_lifetime 2h\nrefresh_token_lifetime 1h", "refresh_token_lifetime: must not be shorter than access_token_lifetime, which is 2h, at Caddyfile:10"},
		"access longer":              {anybody + oneOfOur + "\naccess_token_lifetime 60d", "access_token_lifetime: must not be longer than refresh_token_lifetime, which is 30d, at Caddyfile:9"},
		"lifetime of zero":           {anybody + oneOfOur + "\ngrant_lifetime 0", "grant_lifetime: must be at least 1s; remove the line for the default, at Caddyfile:9"},
		"lifetime without unit":      {anybody + oneOfOur + "\ngrant_lifetime 60", `grant_lifetime: "60" is not a duration; write it as 15m, 1h or 30d, at Caddyfile:9`},
		"lifetime of a century":      {anybody + oneOfOur + "\nabsolute_grant_lifetime 36500d", "absolute_grant_lifetime: must be at most 3650d, at Caddyfile:9"},
		"lifetime without end":       {anybody + oneOfOur + "\nabsolute_grant_lifetime 999999999d", `absolute_grant_lifetime: "999999999d" is not a duration; write it as 15m, 1h or 30d, at Caddyfile:9`},
		"code of a week":             {anybody + oneOfOur + "\ncode_lifetime 7d", "code_lifetime: must be at most 1h, at Caddyfile:9"},
		"registrations for a second": {anybody + oneOfOur + "\nregistration {\nunused_lifetime 1s\n}", "unused_lifetime: must be at least 1m, at Caddyfile:10"},
		// Servers.
		"server without URL":       {anybody + "server a /mcp", "server a: there is no URL, and no preset with the name \"a\", see `caddy mcp-oauth presets`. Write `server <id> <path> <upstream URL>` (a {$NAME} that is not set leaves nothing), at Caddyfile:8"},
		"preset misspelt":          {anybody + "server notoin", "server notoin: there is no URL, and no preset with the name \"notoin\"; did you mean notion? Write `server <id> <path> <upstream URL>` (a {$NAME} that is not set leaves nothing), at Caddyfile:8"},
		"preset that needs more":   {anybody + "server github", "server github: GitHub takes registered applications only: register one at https://github.com/settings/developers with the callback URL <public_url>/api/oauth/callback/github, and set client_id, at Caddyfile:8"},
		"server with more":         {anybody + oneOfOur + " bearer", "server <id> [<path>] [<upstream URL or preset>]: write \"bearer\" and what follows on a line of its own in the block: `server <id> [<path>] [<upstream URL or preset>] { … }`, at Caddyfile:8"},
		"headers in one line":      {anybody + oneOfOur + " {\nauth headers Authorization \"Bearer {env.T}\"\n}", "auth headers: write \"Authorization\" and what follows on a line of its own in the block: `auth headers { … }`, at Caddyfile:9"},
		"headers without any":      {anybody + oneOfOur + " {\nauth headers\n}", "auth: headers sets none; write `Authorization \"Bearer {env.TOKEN}\"` on a line of its own in a block after `auth headers`, at Caddyfile:9"},
		"header without value":     {anybody + oneOfOur + " {\nauth headers {\nAuthorization {$NOT_SET}\n}\n}", "Authorization: <value> is missing; write `Authorization <value>` (a {$NAME} that is not set leaves nothing), at Caddyfile:10"},
		"header empty":             {anybody + oneOfOur + " {\nauth headers {\nAuthorization \"{$NOT_SET}\"\n}\n}", "Authorization: <value> is empty; write it, or remove the line (a {$NAME} that is not set leaves nothing), at Caddyfile:10"},
		"header twice":             {anybody + oneOfOur + " {\nauth headers {\nX-Key a\nX-Key b\n}\n}", "X-Key is already set on line 10; remove one, at Caddyfile:11"},
		"header's variable":        {anybody + oneOfOur + " {\nauth headers {\nAuthorization \"Bearer {env.NOT_SET}\"\n}\n}", "Authorization: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started, at Caddyfile:10"},
		"header_up over auth":      {anybody + oneOfOur + " {\nauth headers {\nAuthorization {env.T}\n}\nproxy {\nheader_up Authorization x\n}\n}", "proxy: header_up Authorization has no effect, since auth headers, an identity_header or identity_jwt sets it; remove one, at Caddyfile:12"},
		"claims of nothing":        {anybody + oneOfOur + "\naccess_token_claims email", "access_token_claims: only access tokens that are JWTs have claims; add `access_token_format jwt`, or remove it, at Caddyfile:9"},
		"a claim of ours":          {anybody + oneOfOur + "\naccess_token_format jwt\naccess_token_claims email sub", "access_token_claims: the claim sub is the site's own; remove it, at Caddyfile:10"},
		"claim twice":              {anybody + oneOfOur + "\naccess_token_format jwt\naccess_token_claims email email", "access_token_claims: email is listed twice; remove one, at Caddyfile:10"},
		"keys for an hour":         {anybody + oneOfOur + "\naccess_token_format jwt\nsigning {\nrotate 1h\n}", "rotate: must be at least 1d, at Caddyfile:11"},
		"JWT in a header that is":  {anybody + oneOfOur + " {\nidentity_header X-User user\nidentity_jwt x_user\n}", "identity_jwt: the header X-User is set already, by auth headers or an identity_header; use another name, or remove one, at Caddyfile:10"},
		"JWT in the account's":     {anybody + oneOfOur + " {\nauth per_user_oauth\nidentity_jwt Authorization\n}", "identity_jwt: the header Authorization carries the connected account; use another name, such as X-Identity, at Caddyfile:10"},
		"JWT in a protocol header": {anybody + oneOfOur + " {\nidentity_jwt Mcp-Identity\n}", "identity_jwt: the header Mcp-Identity belongs to the protocol; use another name, at Caddyfile:9"},
		"header_up over accounts":  {anybody + oneOfOur + " {\nauth per_user_oauth\nproxy {\nheader_up authorization x\n}\n}", "proxy: header_up Authorization has no effect, since the header carries the connected account; remove it, at Caddyfile:10"},
		"rewrite in proxy":         {anybody + oneOfOur + " {\nproxy {\nrewrite /v2\n}\n}", "proxy: rewrite has no effect, since the path is always that of the server's URL; remove it and write the path there, at Caddyfile:9"},
		"auth misspelt":            {anybody + oneOfOur + " {\nauth per_user_oauth2\n}", `auth: unknown value "per_user_oauth2"; did you mean per_user_oauth?, at Caddyfile:9`},
		"block of none":            {anybody + oneOfOur + " {\nauth none {\noptional\n}\n}", "auth takes no block; remove { and what is in it, at Caddyfile:9"},
		"client_secret alone":      {auth + "client_secret {env.S}\n}\n}", "client_secret: belongs to a client_id; set client_id too, or remove it, at Caddyfile:10"},
		"callback_path alone":      {auth + "callback_path /cb\n}\n}", "callback_path: belongs to a client_id; set client_id too, or remove it, at Caddyfile:10"},
		"client_id not set":        {auth + "client_id {env.NOT_SET}\n}\n}", "client_id: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started, at Caddyfile:10"},
		"client_id with a space":   {auth + "client_id {env.BLANK}\n}\n}", "client_id: starts or ends with white space; remove that, at Caddyfile:10"},
		"half of the endpoints":    {auth + "client_id x\nauthorization_endpoint https://p.example/a\n}\n}", "authorization_endpoint: goes with token_endpoint; set both, or none to have them discovered, at Caddyfile:11"},
		"other half":               {auth + "client_id x\ntoken_endpoint https://p.example/t\n}\n}", "token_endpoint: goes with authorization_endpoint; set both, or none to have them discovered, at Caddyfile:11"},
		"method without secret":    {auth + "client_id x\nauth_method client_secret_basic\n}\n}", "auth_method: client_secret_basic needs a client_secret, at Caddyfile:11"},
		"endpoint of a variable":   {auth + "client_id x\nissuer {env.NOT_SET}\n}\n}", "issuer: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started, at Caddyfile:11"},
		"origin with a path":       {anybody + oneOfOur + "\nallowed_origins https://a.example https://b.example/app", `allowed_origins: "https://b.example/app" is not a web origin; write scheme and host only, such as https://app.example.com, at Caddyfile:9`},
		"colour by name":           {anybody + oneOfOur + "\nbranding {\nname x\naccent red\n}", `accent: "red" is not a colour; write it as #rrggbb, in quotes, at Caddyfile:11`},
		"colour that is a comment": {anybody + oneOfOur + "\nbranding {\naccent #0a7d4f\n}", "accent: <#rrggbb> is missing; write `accent <#rrggbb>` (a {$NAME} that is not set leaves nothing), at Caddyfile:10"},
		// Conditions of access rules.
		"people behind a condition":  {anybody + oneOfOur + " {\ntools {\nallow * when `true` group:staff\n}\n}", `allow *: "group:staff" comes after the condition; write it before when, at Caddyfile:10`},
		"hints behind a condition":   {anybody + oneOfOur + " {\ntools {\nallow * when `true` read_only\n}\n}", `allow *: "read_only" comes after the condition; write it before when, at Caddyfile:10`},
		"people for a condition":     {anybody + oneOfOur + " {\ntools {\nallow * when group:staff\n}\n}", `allow *: column 1 of the expression: group:staff says whom the rule is for; write it before when, at Caddyfile:10`},
		"condition without quotes":   {anybody + oneOfOur + " {\ntools {\nallow * when tool.args.x == y\n}\n}", "allow *: after when comes one expression; put it in backquotes: when `tool.args.x == \"y\"`, at Caddyfile:10"},
		"condition without value":    {anybody + oneOfOur + " {\ntools {\nallow * when\n}\n}", "allow *: after when comes one expression; put it in backquotes: when `tool.args.x == \"y\"`, at Caddyfile:10"},
		"condition in other words":   {anybody + oneOfOur + " {\ntools {\nallow * when `tool.args.x = 1`\n}\n}", "allow *: column 13 of the expression: write == instead of =, at Caddyfile:10"},
		"condition of other members": {anybody + oneOfOur + " {\ntools {\nallow * when `tool.arguments.x == 1`\n}\n}", "allow *: column 1 of the expression: there is no tool.arguments; did you mean tool.args?, at Caddyfile:10"},
		// The form of the block.
		"option misspelt":            {anybody + oneOfOur + "\nacess_token_lifetime 1h", `unknown option "acess_token_lifetime"; did you mean access_token_lifetime?, at Caddyfile:9`},
		"option with dashes":         {anybody + oneOfOur + "\npublic-url https://a.example", `unknown option "public-url"; did you mean public_url?, at Caddyfile:9`},
		"option of the global block": {anybody + oneOfOur + "\nencryption_key {env.K}", "encryption_key belongs in the global mcp_oauth block, in the braces at the top of the Caddyfile, at Caddyfile:9"},
		"option of the site":         {anybody + oneOfOur + " {\nvirtual_key alice {env.A}\n}", "virtual_key belongs in the mcp_oauth block of a site, at Caddyfile:9"},
		"option of auth":             {anybody + oneOfOur + " {\nclient_id x\n}", "client_id belongs in one of: the block of auth oauth or per_user_oauth; the block of identity oidc, at Caddyfile:9"},
		"option of several blocks":   {anybody + oneOfOur + "\nallow group:staff", "allow belongs in one of: the block of a server; the block of tools; the block of resources or prompts; the block of identity dashboard; the block of identity oidc; the block of identity workload, at Caddyfile:9"},
		"option but for an s":        {anybody + oneOfOur + " {\nscope wiki:read \"Read\"\n}", "scope belongs in one of: the mcp_oauth block of a site; the block of tools; the block of resources or prompts; or did you mean scopes?, at Caddyfile:9"},
		"option of the registration": {anybody + oneOfOur + "\ndynamic off", "dynamic belongs in the block of registration, at Caddyfile:9"},
		"block where none is":        {anybody + oneOfOur + "\npublic_url http://127.0.0.1 {\n}", "public_url takes no block; remove { and what is in it, at Caddyfile:9"},
		"given twice":                {anybody + oneOfOur + "\nbranding {\nname a\n}\nbranding {\nname b\n}", "branding is already set on line 9; remove one, at Caddyfile:12"},
		"flag with an argument":      {anybody + oneOfOur + "\ninsecure_allow_loopback on", `insecure_allow_loopback takes no argument; remove "on", at Caddyfile:9`},
		"number that is none":        {anybody + oneOfOur + "\nregistration {\nrate_limit -1\n}", `rate_limit: "-1" is not a whole number from 0, at Caddyfile:10`},
		"public_url not set":         {anybody + oneOfOur + "\npublic_url {env.NOT_SET}", "public_url: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started, at Caddyfile:9"},
		"public_url without port":    {anybody + oneOfOur + "\npublic_url https://127.0.0.1:80800", `public_url: "https://127.0.0.1:80800" has a port that does not exist; use one from 1 to 65535, at Caddyfile:9`},
		"server without port":        {anybody + "server a /mcp http://127.0.0.1:99999/mcp", `server a: "http://127.0.0.1:99999/mcp" has a port that does not exist; use one from 1 to 65535, at Caddyfile:8`},
		"server with port 0":         {anybody + "server a /mcp http://127.0.0.1:0/mcp", `server a: "http://127.0.0.1:0/mcp" has a port that does not exist; use one from 1 to 65535, at Caddyfile:8`},
		"public_url of another":      {anybody + oneOfOur + "\npublic_url https://other.example", "public_url: requests for the host other.example do not get here; give the site this address, or public_url that of the site, at Caddyfile:9"},
		"public_url in a LAN":        {anybody + oneOfOur + "\npublic_url http://nas.lan:8080", "public_url: \"http://nas.lan:8080\" is not https; write https://nas.lan:8080, with `tls internal` in the site if the name is not public, or use localhost for development, at Caddyfile:9"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ours(loadable(t, "{\nadmin off\n}\nhttp://127.0.0.1:8099 {\n\nmcp_oauth {\n"+tt.lines+"\n}\n}\n"))
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if len(got) > maxMessage || strings.Contains(got, "canary") || strings.Contains(got, "short-secret") {
				t.Errorf("%d bytes, or a secret: %s", len(got), got)
			}
		})
	}
}
