package integration_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Imports run one way: what knows Caddy knows the pages, the pages know OAuth,
// OAuth knows the storage contract. Nothing below caddymodule imports Caddy.
func TestImportsRunOneWay(t *testing.T) {
	const module = "github.com/mcpoauth/caddy-mcp-oauth/"
	// A package may import those above it in this list. Commands, tests and what
	// is for tests only may import anything, and nothing here imports them.
	levels := []string{
		"internal/cache",
		"internal/egress",
		"internal/guess",
		"internal/hashchain",
		"internal/headers",
		"internal/inert",
		"internal/newfile",
		"internal/relay",
		"internal/requestbody",
		"internal/spelling",
		"internal/strictjson",
		"internal/encryptionkey",
		"internal/event",
		"authz/oauth",
		"storage/internal/ahead",
		"storage",
		"storage/seal",
		"storage/sealed",
		"storage/sealedvalue",
		"storage/reseal",
		"storage/internal/record",
		"storage/move",
		"storage/internal/kv",
		"storage/internal/kvtest",
		"storage/engine",
		"storage/memstore",
		"storage/boltstore",
		"storage/pgstore/internal/moving",
		"storage/pgstore/internal/restored",
		"storage/pgstore/internal/changes",
		"storage/pgstore/internal/database",
		"storage/pgstore/internal/instances",
		"storage/pgstore",
		"storage/storetest/internal/suite",
		"storage/storetest/internal/authtest",
		"storage/storetest/internal/connectiontest",
		"storage/storetest/internal/sessiontest",
		"storage/storetest/internal/keytest",
		"storage/storetest/internal/persontest",
		"storage/storetest/internal/sealtest",
		"storage/storetest/internal/sharedtest",
		"storage/storetest",
		"storage/simulation/internal/model",
		"storage/simulation",
		"examples/store",
		"authz/mcp",
		"authz/jwks",
		"authz/client",
		"internal/doctor",
		"authz/dashboard",
		"authz/identity",
		"authz/identity/oidc",
		"authz/identity/workload",
		"authz/access",
		"authz/mcp/lists",
		"authz/mcp/inquiry",
		"authz/catalog",
		"authz/pins",
		"internal/config",
		"internal/presets",
		"authz/accounts",
		"authz/ratelimit",
		"authz/tokens",
		"authz/signing",
		"authz/persons",
		"authz/clients",
		"authz/grants",
		"authz/virtualkeys",
		"authz/initialtokens",
		"authz/gate",
		"authz/sessions",
		"authz/flows",
		"authz/server",
		"authz/trace",
		"authz/faults",
		"consent/flash",
		"consent/known",
		"consent/scopes",
		"consent/pages",
		"consent/landing",
		"consent/tools",
		"consent/toolchanges",
		"consent",
		"caddymodule/placeholders",
		"caddymodule/siteblock",
		"caddymodule/rotation",
		"caddymodule/instances",
		"caddymodule/metrics",
		"caddymodule/health",
		"caddymodule/adminapi",
		"caddymodule/cli/adminclient",
		"caddymodule/cli",
		"caddymodule/neighbours",
		"caddymodule/selfcheck",
		"caddymodule/audit",
		"caddymodule/emitter",
		"caddymodule/gateway/upstream",
		"caddymodule/gateway/openlinks",
		"caddymodule/gateway",
		"caddymodule/toollists",
		"caddymodule/routes",
		"caddymodule/process",
		"caddymodule/propagation",
		"caddymodule",
	}
	free := func(pkg string) bool {
		first, _, _ := strings.Cut(pkg, "/")
		return first == "cmd" || first == "integration_test" || pkg == "internal/generated" || pkg == "internal/oauthtest" || pkg == "internal/disktest" || pkg == "internal/pgtest" || pkg == "internal/pgtest/processes" || pkg == "caddymodule/storageplugin" || pkg == "docs/verify"
	}
	architecture, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, packageList, _ := strings.Cut(string(architecture), "## Packages")
	packageList, _, _ = strings.Cut(packageList, "Imports go down only")
	listed := regexp.MustCompile(`\w+`).FindAllString(packageList, -1)
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		name, ours := strings.CutPrefix(pkg.ImportPath, module)
		if !ours || free(name) {
			continue
		}
		packages++
		if !strings.Contains(name, "/internal/") && !slices.Contains(listed, path.Base(name)) {
			t.Errorf("%s is not in the list of packages in ARCHITECTURE.md", name)
		}
		level := slices.Index(levels, name)
		if level < 0 {
			t.Errorf("%s has no level", name)
		}
		for _, imported := range pkg.Imports {
			if strings.HasPrefix(imported, "github.com/caddyserver/") && !strings.HasPrefix(name+"/", "caddymodule/") {
				t.Errorf("%s imports %s", name, imported)
			}
			if lower, ours := strings.CutPrefix(imported, module); ours && !slices.Contains(levels[:max(level, 0)], lower) {
				t.Errorf("%s imports %s", name, lower)
			}
		}
	}
	if packages != len(levels) {
		t.Errorf("%d packages have a level, and %d exist", len(levels), packages)
	}
}
