package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// What we give people to start from is valid, formatted and warns of nothing.
func TestExamples(t *testing.T) {
	for _, name := range []string{"ALICE_KEY", "BUILD_KEY", "BATCH_SECRET", "UPSTREAM_TOKEN", "DASHBOARD_SECRET", "MONITOR_SECRET",
		"OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET", "GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"} {
		t.Setenv(name, "random-text-for-"+name)
	}
	t.Setenv("DSN", "postgres://caddy:random-text-for-DSN@db.example.com/mcp_oauth?sslmode=verify-full")
	t.Setenv("MCP_OAUTH_KEY", base64.StdEncoding.EncodeToString(testKey("a")))
	var files []string
	for _, pattern := range []string{"../examples/*.caddyfile", "../examples/*/*.caddyfile"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("got %v, error %v; want examples", found, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if of := filepath.Base(filepath.Dir(file)); of == "sign-in" { // some are called like others
			name = of + "-" + name
		}
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			adapter := caddyconfig.GetAdapter("caddyfile")
			adapted, warnings, err := adapter.Adapt(text, nil)
			if err != nil || len(warnings) > 0 {
				t.Fatalf("got %v, error %v; want no warnings", warnings, err)
			}
			compareGolden(t, name, adapted)
			logs := filepath.Join(t.TempDir(), "log")
			global := "{\n\tadmin off\n\tpersist_config off\n\tlog {\n\t\toutput file " + logs + "\n\t}\n"
			before, after, found := strings.Cut(string(text), "\n{\n")
			if !found { // no global options of its own
				before, after = "", "}\n\n"+string(text)
			}
			text = []byte(before + "\n" + global + after)
			config, _, err := adapter.Adapt(text, nil)
			if err != nil {
				t.Fatal(err)
			}
			var cfg caddy.Config
			if err := caddy.StrictUnmarshalJSON(config, &cfg); err != nil {
				t.Fatal(err)
			}
			if err := caddy.Validate(&cfg); err != nil {
				t.Error(err)
			}
			if logged, err := os.ReadFile(logs); err != nil || strings.Contains(string(logged), `"level":"warn"`) {
				t.Errorf("%v\n%s", err, logged)
			}
			if name != "several-caddys.caddyfile" { // which needs a database server
				startExample(t, config, logs)
			}
		})
	}
}

// startExample starts a configuration, at addresses of this machine that are free,
// and fails if the site has anything to complain of.
func startExample(t *testing.T, config []byte, logs string) {
	t.Helper()
	var cfg struct {
		Admin   json.RawMessage           `json:"admin"`
		Logging json.RawMessage           `json:"logging"`
		Apps    map[string]map[string]any `json:"apps"`
	}
	if err := json.Unmarshal(config, &cfg); err != nil {
		t.Fatal(err)
	}
	for _, server := range cfg.Apps["http"]["servers"].(map[string]any) {
		server := server.(map[string]any)
		server["listen"] = []string{freeAddr(t)}
		auto, _ := server["automatic_https"].(map[string]any)
		server["automatic_https"] = auto
		if auto == nil {
			server["automatic_https"] = map[string]any{"disable_certificates": true}
		}
	}
	if ours := cfg.Apps["mcp_oauth"]; ours["storage"] != nil {
		ours["storage"].(map[string]any)["path"] = filepath.Join(t.TempDir(), "db")
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(text, true); err != nil {
		t.Fatal(err)
	}
	logged, err := os.ReadFile(logs)
	if err := errors.Join(err, caddy.Stop()); err != nil {
		t.Fatal(err)
	}
	for _, complaint := range complaints(string(logged)) {
		t.Errorf("complains: %s", complaint)
	}
	if !strings.Contains(string(logged), `"site ready"`) {
		t.Errorf("is not ready:\n%s", logged)
	}
}

// compareGolden compares what an example adapts to with what it is known to.
func compareGolden(t *testing.T, example string, adapted []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, adapted, "", "\t"); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	file := filepath.Join("testdata", "examples", strings.TrimSuffix(example, ".caddyfile")+".json")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got.String() != string(want) {
		t.Errorf("%v: adapts to\n%s", err, &got)
	}
}
