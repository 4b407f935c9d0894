package caddymodule

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// dashboardBlock returns an identity dashboard whose lines are replaced by, or have
// besides, those that are given. A line of a name alone is left out.
func dashboardBlock(lines ...string) string {
	all := []string{"authorize_url https://app.example/oauth/authorize", "issuer https://app.example", "audience mcp", "jwks_uri https://app.example/jwks"}
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, " ")
		replaced := false
		for i, l := range all {
			if replaced = strings.HasPrefix(l, name+" "); replaced {
				all[i] = line
				if rest == "" {
					all = append(all[:i], all[i+1:]...)
				}
				break
			}
		}
		if !replaced {
			all = append(all, line)
		}
	}
	return "identity dashboard {\n" + strings.Join(all, "\n") + "\n}\n"
}

// What cannot work with a dashboard, or would not be safe, is refused with its line
// and what to do. The block starts on line 7.
func TestMistakesOfDashboards(t *testing.T) {
	t.Setenv("SHORT", strings.Repeat("x1-", 10))
	t.Setenv("EASY", strings.Repeat("a", 40))
	t.Setenv("GOOD", "uX3-kf8aQ2m_Wz71uX3-kf8aQ2m_Wz71")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "{file." + path + "}"
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public()}}})
	if err != nil {
		t.Fatal(err)
	}
	public := file("public.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	for name, tt := range map[string]struct{ lines, want string }{
		"good":                     {dashboardBlock(), ""},
		"good, with all":           {dashboardBlock("claims role displayName email", "consent here"), ""},
		"with rules":               {dashboardBlock("allow group:staff domain:acme.com", "recheck 7d"), ""},
		"consent there":            {dashboardBlock("consent there"), ""},
		"there, and a virtual key": {dashboardBlock("consent there") + "identity virtual_key\nvirtual_key alice {env.GOOD}\n", ""},
		"a secret":                 {dashboardBlock("jwks_uri", "secret {env.GOOD}"), ""},
		"a public key":             {dashboardBlock("jwks_uri", "public_key "+public), ""},
		"a public key in a set":    {dashboardBlock("jwks_uri", "public_key "+file("set.json", string(set))), ""},
		"keys on loopback":         {"insecure_allow_loopback\n" + dashboardBlock("jwks_uri http://127.0.0.1:1/jwks"), ""},
		"a page on loopback":       {dashboardBlock("authorize_url http://localhost:3000/authorize"), ""},

		"nothing":                  {"identity dashboard\n", "identity: missing; write the page of the dashboard to which people are sent, such as https://app.example.com/oauth/authorize, at Caddyfile:7"},
		"no page":                  {dashboardBlock("authorize_url"), "identity: missing; write the page of the dashboard to which people are sent, such as https://app.example.com/oauth/authorize, at Caddyfile:7"},
		"page over http":           {dashboardBlock("authorize_url http://app.example/a"), `authorize_url: "http://app.example/a" is not an https URL without query and fragment; write it as https://app.example.com/oauth/authorize, at Caddyfile:8`},
		"page with a query":        {dashboardBlock("authorize_url https://app.example/a?x=1"), `authorize_url: "https://app.example/a?x=1" is not an https URL without query and fragment; write it as https://app.example.com/oauth/authorize, at Caddyfile:8`},
		"page with a fragment":     {dashboardBlock("authorize_url https://app.example/#/a"), `authorize_url: "https://app.example/#/a" is not an https URL without query and fragment; write it as https://app.example.com/oauth/authorize, at Caddyfile:8`},
		"page of this site":        {dashboardBlock("authorize_url http://127.0.0.1:8099/oauth/consent"), "authorize_url: this page is the site's own; write the one of your dashboard, at Caddyfile:8"},
		"page that is a server":    {dashboardBlock("authorize_url http://127.0.0.1:8099/mcp"), "authorize_url: this page is the site's own; write the one of your dashboard, at Caddyfile:8"},
		"no issuer":                {dashboardBlock("issuer"), "identity: missing; write what the JWTs of the dashboard have as iss, at Caddyfile:7"},
		"our issuer":               {dashboardBlock("issuer http://127.0.0.1:8099"), "issuer: this is the issuer of the site's own tokens; let the dashboard have another iss, such as its own address, at Caddyfile:9"},
		"no audience":              {dashboardBlock("audience"), "identity: missing; write what the JWTs for this site have as aud, and none for something else, at Caddyfile:7"},
		"audience of our tokens":   {dashboardBlock("audience http://127.0.0.1:8099/mcp"), "audience: this is the audience of the site's own tokens; let the dashboard write another aud into its JWTs, at Caddyfile:10"},
		"no key":                   {dashboardBlock("jwks_uri"), "identity: nothing could verify its JWTs; add jwks_uri, public_key, or secret, at Caddyfile:7"},
		"two keys":                 {dashboardBlock("secret {env.GOOD}"), "identity: more than one way to verify its JWTs; keep one of jwks_uri, public_key, secret, at Caddyfile:7"},
		"keys over http":           {dashboardBlock("jwks_uri http://app.example/jwks"), `jwks_uri: "http://app.example/jwks" is not an https URL; write it as https://app.example.com/jwks.json (http on loopback needs insecure_allow_loopback), at Caddyfile:11`},
		"keys on loopback, closed": {dashboardBlock("jwks_uri http://127.0.0.1:1/jwks"), `jwks_uri: "http://127.0.0.1:1/jwks" is not an https URL; write it as https://app.example.com/jwks.json (http on loopback needs insecure_allow_loopback), at Caddyfile:11`},
		"secret in the clear":      {dashboardBlock("jwks_uri", "secret canary-0123456789abcdef"), "secret: the secret must not be in the configuration; write a placeholder such as {env.DASHBOARD_SECRET} ({$NAME} puts the secret itself there), at Caddyfile:11"},
		"secret that is short":     {dashboardBlock("jwks_uri", "secret {env.SHORT}"), "secret: the secret is too short; use at least 32 random characters: make a random one with `openssl rand -base64 32`, at Caddyfile:11"},
		"secret that is easy":      {dashboardBlock("jwks_uri", "secret {env.EASY}"), "secret: the secret is easy to guess; make a random one with `openssl rand -base64 32`, at Caddyfile:11"},
		"secret that is not set":   {dashboardBlock("jwks_uri", "secret {env.NOT_SET}"), "secret: {env.NOT_SET}: the environment variable is not set; set NOT_SET where Caddy is started, at Caddyfile:11"},
		"private key":              {dashboardBlock("jwks_uri", "public_key "+file("private.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))), "public_key: it is not one public key in PEM (BEGIN PUBLIC KEY); make it with `openssl pkey -in private.pem -pubout`, at Caddyfile:11"},
		"broken key":               {dashboardBlock("jwks_uri", "public_key "+file("broken.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der[:20]})))), "public_key: the public key cannot be read; make it with `openssl pkey -in private.pem -pubout`, at Caddyfile:11"},
		"no key at all":            {dashboardBlock("jwks_uri", "public_key "+file("empty.json", `{"keys":[]}`)), "public_key: it is neither a public key in PEM nor a JWK set with one, P-256, P-384, Ed25519 or RSA of at least 2048 bits (no usable key), at Caddyfile:11"},
		"claim of every JWT":       {dashboardBlock("claims email sub"), `claims: "sub" is not one to keep: every JWT has it; remove it, at Caddyfile:12`},
		"claim twice":              {dashboardBlock("claims email email"), "claims: email is listed twice; remove one, at Caddyfile:12"},
		"rule that is none":        {dashboardBlock("allow staff"), `allow: "staff": not a rule; write group:staff, domain:example.com, email:jane@example.com or claim:department=sales, at Caddyfile:12`},
		"recheck of a second":      {dashboardBlock("recheck 1s"), "recheck: must be at least 1m, at Caddyfile:12"},
		"neither here nor there":   {dashboardBlock("consent both"), "consent: unknown value \"both\"; use one of: here, there, at Caddyfile:12"},
		"there, beside others":     {dashboardBlock("consent there") + "identity user_id\n", "consent: with `consent there` all clients send people to the dashboard, so nobody could sign in with identity user_id; remove it, or write `consent here`, at Caddyfile:12"},
		"twice":                    {dashboardBlock() + dashboardBlock(), "identity: dashboard is listed twice; remove one, at Caddyfile:13"},
		"name that is shared":      {dashboardBlock() + "server named /named http://127.0.0.1:1/named {\nidentity_header X-User user\n}\n", "identity_header X-User: with `identity dashboard`, several people can have one name; use the value identity, which tells them apart, or email, at Caddyfile:14"},
		"options of others":        {"identity caddy {\nconsent here\n}\n", "consent belongs in the block of identity dashboard, at Caddyfile:8"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ours(loadable(t, "{\nadmin off\n}\nhttp://127.0.0.1:8099 {\n\nmcp_oauth {\n"+tt.lines+oneOfOur+"\n}\n}\n"))
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if message, _, _ := strings.Cut(got, ", at Caddyfile"); len(message) > maxMessage {
				t.Errorf("%d characters", len(message))
			}
		})
	}
}
