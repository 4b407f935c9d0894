package caddymodule

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Every mistake that is no error has a warning, which shows no secret, and
// nothing else has one.
func TestWarnings(t *testing.T) {
	t.Setenv("SECRET", "canary-behind-a-placeholder")
	const (
		names    = "it is enough to say a person's name"
		literal  = "a credential is in plain text in the configuration"
		rate     = "rate_limit 0"
		unused   = "max_unused 0"
		upstream = "http://127.0.0.1:1/mcp"
	)
	const (
		unproved  = "told unverified names"
		elsewhere = "calls go to the addresses in proxy"
		noEffect  = "an option has no effect"
		noRule    = "an access rule has no effect"
		noPerson  = "somebody in an access rule can be nobody here"
	)
	const (
		machine  = "client batch {\nsecret sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8\nclient_credentials\n}\nclient desk {\nredirect_uri https://desk.example/cb\n}\n"
		workload = "identity workload mesh spiffe://example.org {\njwks_uri http://127.0.0.1:1/keys\nallow claim:sub=spiffe://example.org/ns/*\n}\n"
	)
	tools := func(whom string) string {
		return "server a /mcp " + upstream + " {\ntools {\nallow * " + whom + "\n}\n}\ninsecure_allow_loopback"
	}
	all := []string{names, literal, rate, unused, unproved, elsewhere, noEffect, noRule, noPerson}
	for name, tt := range map[string]struct {
		lines string
		want  []string // and none of the others
		show  string   // in what is logged
	}{
		"user_id with personal accounts": {"public_url https://mcp.example.com\nidentity user_id\nserver n /n " + upstream + " {\nauth per_user_oauth\n}\nserver k /k " + upstream + " {\nauth per_user_headers {\nheader X-Key\n}\n}\nserver o /o " + upstream + " {\nauth oauth\n}", []string{names}, `"servers":["n","k"]`},
		"user_id at home":                {"identity user_id\nserver n /n " + upstream + " {\nauth per_user_oauth\n}", nil, "does not verify who people are"},
		"user_id with a shared account":  {"public_url https://mcp.example.com\nidentity user_id\nserver n /n " + upstream + " {\nauth oauth\n}", nil, ""},
		"proven names":                   {"public_url https://mcp.example.com\n" + alice + "server n /n " + upstream + " {\nauth per_user_oauth\n}", nil, ""},
		"literal Authorization":          {alice + "server a /mcp " + upstream + " {\nauth headers {\nAuthorization \"Bearer canary\"\n}\n}", []string{literal}, `"header":"Authorization"`},
		"literal API key":                {alice + "server a /mcp " + upstream + " {\nauth headers {\nX-Api-Key canary\n}\n}", []string{literal}, `"header":"X-Api-Key"`},
		"placeholder":                    {alice + "server a /mcp " + upstream + " {\nauth headers {\nAuthorization \"Bearer {env.SECRET}\"\nX-Team blue\n}\n}", nil, ""},
		"literal in the query":           {alice + "server a /mcp " + upstream + "?team=blue&access_token=canary", []string{literal}, `"query_parameter":"access_token"`},
		"placeholder in the query":       {alice + "server a /mcp " + upstream + "?team=blue&access_token={env.SECRET}", nil, ""},
		"no rate limit":                  {alice + "server a /mcp " + upstream + "\nregistration {\nrate_limit 0\n}", []string{rate}, ""},
		"no bound":                       {alice + "server a /mcp " + upstream + "\nregistration {\nmax_unused 0\n}", []string{unused}, ""},
		"unproved names passed":          {"identity user_id\nserver a /mcp " + upstream + " {\nidentity_header X-User user\n}", []string{unproved}, `"identity_header":"X-User"`},
		"how sure a name is":             {"identity user_id\nserver a /mcp " + upstream + " {\nidentity_header X-User identity\n}", nil, ""},
		"literal header_up":              {alice + "server a /mcp " + upstream + " {\nproxy {\nheader_up Authorization \"Bearer canary\"\n}\n}", []string{literal}, `"header_up":"Authorization"`},
		"literal +header_up":             {alice + "server a /mcp " + upstream + " {\nproxy {\nheader_up +X-Api-Key canary\n}\n}", []string{literal}, `"header_up":"X-Api-Key"`},
		"placeholder header_up":          {alice + "server a /mcp " + upstream + " {\nproxy {\nheader_up Authorization {env.SECRET}\nheader_up X-Team blue\n}\n}", nil, ""},
		"another address":                {alice + "server a /mcp " + upstream + " {\nproxy {\nto 127.0.0.1:2\n}\n}", []string{elsewhere}, `"url_host":"127.0.0.1:1","to":["127.0.0.1:2"]`},
		"another of several":             {alice + "server a /mcp " + upstream + " {\nproxy {\nto 127.0.0.1:2 unix//run/a.sock\n}\n}", []string{elsewhere}, `"to":["127.0.0.1:2"]`},
		"socket":                         {alice + "server a /mcp " + upstream + " {\nproxy unix//run/a.sock\n}", nil, ""},
		"addresses that change":          {alice + "server a /mcp " + upstream + " {\nproxy {\ndynamic a localhost 80\n}\n}", nil, ""},
		"more addresses":                 {alice + "server a /mcp " + upstream + " {\nproxy {\nto 127.0.0.1:1 127.0.0.1:2\n}\n}", nil, ""},
		"token for no door":              {alice + "server a /mcp " + upstream + "\nregistration {\ndynamic off\ninitial_access_token {env.SECRET}\n}", []string{noEffect}, `"option":"registration initial_access_token"`},
		"hosts of no documents":          {alice + "server a /mcp " + upstream + "\nregistration {\nmetadata_documents off\ndeny_hosts a.example\n}", []string{noEffect}, `"option":"registration allow_hosts, deny_hosts"`},
		"keys only":                      {alice + "server a /mcp " + upstream + "\nregistration {\ndynamic off\nmetadata_documents off\n}", []string{noEffect}, "only virtual keys work"},
		"refresh beyond grant":           {alice + "server a /mcp " + upstream + "\nrefresh_token_lifetime 100d", []string{noEffect}, `"option":"refresh_token_lifetime"`},
		"access beyond grant":            {alice + "server a /mcp " + upstream + "\naccess_token_lifetime 2d\nabsolute_grant_lifetime 1d", []string{noEffect}, `"option":"access_token_lifetime"`},
		"a rule behind another":          {alice + "server a /mcp " + upstream + " {\ntools {\nallow get_*\ndeny get_secret\n}\n}", []string{noRule}, "deny get_secret: it never decides: `allow get_*` before it matches whatever it does, at Caddyfile:"},
		"a group that nobody tells":      {alice + "server a /mcp " + upstream + " {\ntools {\nallow * group:staff\n}\n}", []string{noPerson}, "allow *: group:staff never fits: no identity tells anything of people; add identity oidc or dashboard, at Caddyfile:"},
		"one of several, nobody":         {alice + tools("key:alice group:staff"), []string{noPerson}, "allow *: group:staff never fits: no identity tells anything of people"},
		"nobody may use the server":      {alice + "server a /mcp " + upstream + " {\nallow key:alice user:client:batch\n}", []string{noPerson}, `user:client:batch never fits: there is no client with client_credentials \"batch\", at Caddyfile:`},
		"a program":                      {alice + machine + workload + tools("user:client:batch user:workload:mesh:spiffe://example.org/ns/x client:desk"), nil, ""},
		"a program that is none":         {alice + machine + tools("user:client:bach"), []string{noPerson}, `user:client:bach never fits: there is no client with client_credentials \"bach\"; did you mean batch?, at Caddyfile:`},
		"an application, no program":     {alice + machine + tools("user:client:desk"), []string{noPerson}, `user:client:desk never fits: there is no client with client_credentials \"desk\"; use one of: batch, at Caddyfile:`},
		"a program without a name":       {alice + machine + workload + tools("user:workload:mesh:"), []string{noPerson}, "user:workload:mesh: never fits: no identity workload has such a program"},
		"a program of no identity":       {alice + tools("user:workload:mesh:x"), []string{noPerson}, "user:workload:mesh:x never fits: no identity workload has such a program; write workload:<name of the identity>:<its name>, at Caddyfile:"},
		"a person of no identity":        {alice + tools("user:oidc:company:1"), []string{noPerson}, "user:oidc:company:1 never fits: nobody signs in here by such an identity, at Caddyfile:"},
		"a key by its subject":           {alice + tools("user:virtual_key:alice"), nil, ""},
		"an address that nobody tells":   {"identity anonymous\n" + tools("user:a@example.com"), []string{noPerson}, "user:a@example.com never fits: no identity tells anything of people"},
		"a client that is none":          {alice + machine + tools("client:dsek"), []string{noPerson}, `client:dsek never fits: there is no client \"dsek\"; did you mean desk?, at Caddyfile:`},
		"a client that registers itself": {alice + tools("client:2f6b1c0e-0f3b-4b3b-8f5a-2f1a3c9d7e10 client:https://app.example/client.json"), nil, ""},
		"a document that none may use":   {alice + tools("client:https://app.example/client.json") + "\nregistration {\nmetadata_documents off\n}", []string{noPerson}, `there is no client \"https://app.example/client.json\", at Caddyfile:`},
		"rules that matter":              {alice + "server a /mcp " + upstream + " {\ntools {\ndeny delete_* destructive\nallow * read_only key:alice\n}\n}", nil, ""},
		"optional for nobody":            {alice + "server a /mcp " + upstream + " {\nauth oauth {\noptional\n}\n}", []string{noEffect}, `"option":"auth oauth optional"`},
		"a claim that nobody has":        {alice + "server a /mcp " + upstream + "\naccess_token_format jwt\naccess_token_claims email role", []string{noEffect}, `"option":"access_token_claims role"`},
		"keys for nothing":               {alice + "server a /mcp " + upstream + "\nsigning {\nrotate 30d\n}", []string{noEffect}, `"option":"signing"`},
		"no registration":                {alice + "server a /mcp " + upstream + "\nregistration {\ndynamic off\nrate_limit 0\nmax_unused 0\n}", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			logged := newGateway(t, tt.lines).log()
			for _, warning := range all {
				want := false
				for _, w := range tt.want {
					want = want || w == warning
				}
				if strings.Contains(logged, warning) != want {
					t.Errorf("%q logged: %v", warning, !want)
				}
			}
			if !strings.Contains(logged, tt.show) || strings.Contains(logged, "canary") {
				t.Errorf("no %q, or a secret:\n%s", tt.show, logged)
			}
		})
	}
}

// Fetches that strangers cause do not use the proxy that the operator may
// think they do. It may have a password.
func TestWarnsOfProxy(t *testing.T) {
	const warning = "HTTPS_PROXY is set"
	server := alice + "server a /mcp http://127.0.0.1:1/mcp"
	for name, tt := range map[string]struct {
		variable, lines string
		want            bool
	}{
		"none":                     {"", server, false},
		"documents":                {"HTTPS_PROXY", server, true},
		"lower case":               {"https_proxy", server, true},
		"nothing fetched":          {"HTTPS_PROXY", server + "\nregistration {\nmetadata_documents off\n}", false},
		"providers, not documents": {"HTTPS_PROXY", server + " {\nauth per_user_oauth\n}\nregistration {\nmetadata_documents off\n}", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HTTPS_PROXY", "")
			t.Setenv("https_proxy", "")
			if tt.variable != "" {
				t.Setenv(tt.variable, "http://user:canary@127.0.0.1:1")
			}
			logged := newGateway(t, tt.lines).log()
			if strings.Contains(logged, warning) != tt.want || strings.Contains(logged, "canary") {
				t.Errorf("want a warning: %t, got\n%s", tt.want, logged)
			}
		})
	}
}

// M05: an operator's key file that others can read works, with a warning.
func TestOperatorsKeyFile_M05(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access there is not in the mode")
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(base64.StdEncoding.EncodeToString(testKey("a"))), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o440: true, 0o444: true, 0o604: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
		before := len(g.log())
		g.load(strings.Replace(g.caddyfile(alice+"server a /mcp http://127.0.0.1:1/mcp"), "storage bbolt {", "encryption_key {file."+file+"}\nstorage bbolt {", 1))
		if got := strings.Contains(g.log()[before:], "readable by other users"); got != want {
			t.Errorf("mode %04o: warned %v", mode, got)
		}
	}
	if file, _ := keyFileOpenToOthers("{env.KEY}"); file != "" {
		t.Errorf("a variable became the file %s", file)
	}
}

// F11: one public URL is one site, however many addresses lead there, in each
// of the configurations that are at work.
func TestOnePublicURLOneSite_F11(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	site := func(address, lines string) string {
		return address + " {\nbind 127.0.0.1\nmcp_oauth {\npublic_url " + g.url + "\n" + alice + lines + "\n}\n}\n"
	}
	global, _, _ := strings.Cut(g.caddyfile(""), "\nhttp://")
	here, there := "http://"+g.addr, "http://"+freeAddr(t)
	const a, b = "server a /mcp http://127.0.0.1:1/mcp", "server b /b http://127.0.0.1:1/mcp"
	for name, text := range map[string]string{
		"several addresses":          site(here+", "+there, a),
		"the same block twice":       site(here, a) + site(there, a),
		"another public URL":         site(here, a) + strings.Replace(site(there, b), g.url, there, 1),
		"reload with another server": site(here, b),
	} {
		if err := loadCaddyfile(global + "\n" + text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := loadCaddyfile(global + "\n" + site(here, a) + site(there, b))
	if err == nil {
		t.Fatal("two sites with one public URL were loaded")
	}
	for _, part := range []string{g.url, "server a /mcp", "server b /b", "public_url"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not name %s: %v", part, err)
		}
	}
}
