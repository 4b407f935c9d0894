package integration_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"testing"
)

// N16: whatever this program is built from was chosen. A new module has to be
// written down here too, which somebody then reviews; none is replaced by
// another, and the checksums are those of what is on this machine.
func TestModulesAreKnown_N16(t *testing.T) {
	known := []string{
		"cel.dev/cel-go", "code.dny.dev/ssrf", "github.com/anishathalye/porcupine", "github.com/caddyserver/caddy/v2", "github.com/coreos/go-oidc/v3", "github.com/go-jose/go-jose/v4", "github.com/google/uuid", "github.com/jackc/pgx/v5",
		"github.com/mark3labs/mcp-go", "github.com/modelcontextprotocol/go-sdk", "github.com/nlnwa/whatwg-url", "github.com/prometheus/client_golang", "github.com/santhosh-tekuri/jsonschema/v6",
		"github.com/spf13/cobra", "github.com/spf13/pflag", "go.etcd.io/bbolt", "go.opentelemetry.io/otel", "go.opentelemetry.io/otel/trace", "go.opentelemetry.io/proto/otlp", "go.uber.org/goleak",
		"go.uber.org/zap", "golang.org/x/net", "golang.org/x/sync", "golang.org/x/sys", "golang.org/x/term", "golang.org/x/text", "golang.org/x/time", "google.golang.org/protobuf", "pgregory.net/rapid",
	}
	out := run(t, "go", "mod", "edit", "-json")
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Replace []struct{ Old struct{ Path string } }
		Exclude []struct{ Path string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
	}
	slices.Sort(direct)
	if !slices.Equal(direct, known) {
		t.Errorf("go.mod requires\n%q, known are\n%q", direct, known)
	}
	if len(mod.Replace)+len(mod.Exclude) != 0 {
		t.Errorf("go.mod replaces %v and excludes %v", mod.Replace, mod.Exclude)
	}
	run(t, "go", "mod", "verify")
}

// run returns what a command says in the folder of the module.
func run(t *testing.T, name string, arguments ...string) []byte {
	t.Helper()
	c := exec.Command(name, arguments...)
	c.Dir = ".."
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, arguments, err, out)
	}
	return out
}
