package integration_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// Imports run one way: what knows Caddy knows the pages, the pages know OAuth,
// OAuth knows the storage contract. Nothing below caddymodule imports Caddy.
func TestImportsRunOneWay(t *testing.T) {
	const module = "github.com/mcpoauth/caddy-mcp-oauth/"
	// A package may import those of a lower level, and any of internal/.
	level := func(pkg string) int {
		if pkg == "internal/config" { // which every part of OAuth is told
			pkg = "config"
		}
		found, longest := -1, "" // commands and tests may import anything
		for n, prefix := range []string{
			"internal/",
			"authz/oauth",
			"storage",
			"storage/seal",
			"storage/internal/record",
			"storage/internal/kv",
			"storage/internal/kvtest",
			"storage/memstore",
			"storage/boltstore",
			"storage/storetest/internal/suite",
			"storage/storetest/internal/authtest",
			"storage/storetest/internal/connectiontest",
			"storage/storetest/internal/sessiontest",
			"storage/storetest",
			"authz/mcp",
			"authz/client",
			"authz/identity",
			"config",
			"authz/accounts",
			"authz/ratelimit",
			"authz/tokens",
			"authz/clients",
			"authz/grants",
			"authz/gate",
			"authz/sessions",
			"authz/flows",
			"authz/server",
			"consent/pages",
			"consent",
			"caddymodule/adminapi",
			"caddymodule/neighbours",
			"caddymodule/gateway",
			"caddymodule",
		} {
			if len(prefix) < len(longest) {
				continue
			}
			if pkg == prefix || strings.HasPrefix(pkg, prefix+"/") || strings.HasSuffix(prefix, "/") && strings.HasPrefix(pkg, prefix) {
				found, longest = n, prefix
			}
		}
		return found
	}
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
		if !ours || level(name) < 0 {
			continue
		}
		packages++
		for _, imported := range pkg.Imports {
			if strings.HasPrefix(imported, "github.com/caddyserver/") && !strings.HasPrefix(name+"/", "caddymodule/") {
				t.Errorf("%s imports %s", name, imported)
			}
			if lower, ours := strings.CutPrefix(imported, module); ours && level(lower) > level(name) {
				t.Errorf("%s imports %s", name, lower)
			}
		}
	}
	if packages < 10 {
		t.Errorf("looked at %d packages only", packages)
	}
}
